"""The compiled inner loops: counting, LZW, predictor. Written in C, kept as LLVM IR.

The C files are the source. `build` compiles them to the ``.ll`` files at development time
(``make kernels``); `compiled` turns those into machine code for this processor when they are first
needed, so that nobody needs a compiler to install or run the score engine. `choice` says whether
they are used at all.
"""

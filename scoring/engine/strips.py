"""Compiled loops over one strip or tile: LZW and the horizontal predictor, as LLVM IR.

LZW here is four to five times quicker than GDAL's on class maps, because a code's string is never
built: it is a place in what was already written, so a table entry is (start, length). It accepts
only plainly valid streams; whatever it refuses is left to GDAL, so it decides speed and never
acceptance. IR rather than numba for the same reason as in `kernel`: start-up.

Source: TIFF 6.0, section 13 (codes of 9 to 12 bits, most significant first, early change) and
section 14 (differencing).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import llvmlite.binding as llvm

# Kernels move whole vectors: this much behind the named parts of their buffers is theirs to
# read (source) or to overwrite (out).
PADDING_BYTES = 64
TABLE_ENTRIES = 4096

# lzw(source, begin, end, out, first, stop, table) decodes source[begin:end] to out[first:stop]
# and returns 1, or 0 when the stream is not plainly valid. table is scratch, uint64[4096], of
# length << 32 | start. A string ends before the place where it is repeated, except that of the
# newest entry, which overlaps it by its last byte: `newest` writes that one.
_IR = """
declare i64 @llvm.bswap.i64(i64)

define i32 @lzw(ptr noalias %source, i64 %begin, i64 %end,
                ptr noalias %out, i64 %first, i64 %stop, ptr noalias %table) {
entry:
  %size = sub i64 %end, %begin
  %short = icmp slt i64 %size, 3
  br i1 %short, label %bad, label %head
head:
  %head.at = getelementptr i8, ptr %source, i64 %begin
  %head.0 = load i8, ptr %head.at
  %head.1.at = getelementptr i8, ptr %head.at, i64 1
  %head.1 = load i8, ptr %head.1.at
  %is.0 = icmp eq i8 %head.0, -128
  %is.1 = icmp sge i8 %head.1, 0
  %starts.clear = and i1 %is.0, %is.1
  %begin.bit = shl i64 %begin, 3
  %end.bit = shl i64 %end, 3
  br i1 %starts.clear, label %loop, label %bad

loop:
  %position = phi i64 [ %first, %head ], [ %position, %clear ], [ %finish, %next ]
  %bit = phi i64 [ %begin.bit, %head ], [ %bit.next, %clear ], [ %bit.next, %next ]
  %width = phi i64 [ 9, %head ], [ 9, %clear ], [ %width.next, %next ]
  %free = phi i64 [ 258, %head ], [ 258, %clear ], [ %free.next, %next ]
  %before = phi i64 [ -1, %head ], [ -1, %clear ], [ %position, %next ]
  %before.length = phi i64 [ 0, %head ], [ 0, %clear ], [ %length, %next ]
  %more = icmp ult i64 %position, %stop
  br i1 %more, label %read, label %good
read:
  %bit.next = add i64 %bit, %width
  %beyond = icmp ugt i64 %bit.next, %end.bit
  br i1 %beyond, label %bad, label %code
code:
  %byte = lshr i64 %bit, 3
  %word.at = getelementptr i8, ptr %source, i64 %byte
  %word.raw = load i64, ptr %word.at, align 1
  %word = call i64 @llvm.bswap.i64(i64 %word.raw)
  %in.byte = and i64 %bit, 7
  %shifted = shl i64 %word, %in.byte
  %drop = sub i64 64, %width
  %value = lshr i64 %shifted, %drop
  %target = getelementptr i8, ptr %out, i64 %position
  %is.literal = icmp ult i64 %value, 256
  br i1 %is.literal, label %literal, label %coded
literal:
  %pixel = trunc i64 %value to i8
  store i8 %pixel, ptr %target
  br label %emitted
coded:
  %is.clear = icmp eq i64 %value, 256
  br i1 %is.clear, label %clear, label %check
clear:
  br label %loop
check:
  %entry.number = sub i64 %value, 258
  %last.number = sub i64 %free, 258
  %unknown = icmp ugt i64 %entry.number, %last.number
  %orphan = icmp slt i64 %before, 0
  %wrong = or i1 %unknown, %orphan
  br i1 %wrong, label %bad, label %lookup
lookup:
  %known.at = getelementptr i64, ptr %table, i64 %value
  %known = load i64, ptr %known.at
  %known.start = and i64 %known, 4294967295
  %known.length = lshr i64 %known, 32
  %longer = add i64 %before.length, 1
  %is.newest = icmp eq i64 %value, %free
  %start = select i1 %is.newest, i64 %before, i64 %known.start
  %string = select i1 %is.newest, i64 %longer, i64 %known.length
  %string.end = add i64 %position, %string
  %too.long = icmp ugt i64 %string.end, %stop
  br i1 %too.long, label %bad, label %copy
copy:
  %step = phi i64 [ 0, %lookup ], [ %step.next, %copy ]
  %from.index = add i64 %start, %step
  %from = getelementptr i8, ptr %out, i64 %from.index
  %to = getelementptr i8, ptr %target, i64 %step
  %piece = load <32 x i8>, ptr %from, align 1
  store <32 x i8> %piece, ptr %to, align 1
  %step.next = add i64 %step, 32
  %unfinished = icmp ult i64 %step.next, %string
  br i1 %unfinished, label %copy, label %copied
copied:
  br i1 %is.newest, label %newest, label %emitted
newest:
  %initial = load i8, ptr %target
  %last.index = sub i64 %string.end, 1
  %last.at = getelementptr i8, ptr %out, i64 %last.index
  store i8 %initial, ptr %last.at
  br label %emitted
emitted:
  %length = phi i64 [ 1, %literal ], [ %string, %copied ], [ %string, %newest ]
  %finish = add i64 %position, %length
  %is.first = icmp slt i64 %before, 0
  br i1 %is.first, label %next, label %grow
grow:
  %full = icmp uge i64 %free, 4096
  br i1 %full, label %bad, label %add
add:
  %new.at = getelementptr i64, ptr %table, i64 %free
  %new.length = add i64 %before.length, 1
  %new.high = shl i64 %new.length, 32
  %new = or i64 %new.high, %before
  store i64 %new, ptr %new.at
  %free.add = add i64 %free, 1
  %room = shl i64 1, %width
  %free.plus = add i64 %free.add, 1
  %changes = icmp uge i64 %free.plus, %room
  %narrow = icmp ult i64 %width, 12
  %widen = and i1 %changes, %narrow
  %one = zext i1 %widen to i64
  %width.add = add i64 %width, %one
  br label %next
next:
  %free.next = phi i64 [ %free, %emitted ], [ %free.add, %add ]
  %width.next = phi i64 [ %width, %emitted ], [ %width.add, %add ]
  br label %loop
good:
  ret i32 1
bad:
  ret i32 0
}

define void @undo(ptr noalias %out, i64 %first, i64 %stop, i64 %row) {
entry:
  %some = icmp ult i64 %first, %stop
  br i1 %some, label %line, label %done
line:
  %begin = phi i64 [ %first, %entry ], [ %end, %turn ]
  %end = add i64 %begin, %row
  br label %pixel
pixel:
  %at = phi i64 [ %begin, %line ], [ %at.next, %pixel ]
  %sum = phi i8 [ 0, %line ], [ %sum.next, %pixel ]
  %place = getelementptr i8, ptr %out, i64 %at
  %delta = load i8, ptr %place
  %sum.next = add i8 %sum, %delta
  store i8 %sum.next, ptr %place
  %at.next = add i64 %at, 1
  %inside = icmp ult i64 %at.next, %end
  br i1 %inside, label %pixel, label %turn
turn:
  %lines.left = icmp ult i64 %end, %stop
  br i1 %lines.left, label %line, label %done
done:
  ret void
}
"""

Lzw = Callable[[int, int, int, int, int, int, int], int]
UndoPredictor = Callable[[int, int, int, int], None]


@lru_cache(maxsize=1)
def load() -> tuple[Lzw, UndoPredictor]:
    """(lzw, undo_predictor), compiled for this processor. Both take addresses and sizes.

    ``lzw(source, begin, end, out, first, stop, table)`` → 1, or 0 when not plainly valid;
    ``undo_predictor(out, first, stop, row)`` sums up differences along rows of `row` bytes in
    out[first:stop], modulo 256; stop - first is a multiple of `row`.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    module = llvm.parse_assembly(_IR)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    address, number = ctypes.c_void_p, ctypes.c_int64
    lzw: Any = ctypes.CFUNCTYPE(
        ctypes.c_int32, address, number, number, address, number, number, address
    )(engine.get_function_address("lzw"))
    undo: Any = ctypes.CFUNCTYPE(None, address, number, number, number)(
        engine.get_function_address("undo")
    )
    lzw.engine = undo.engine = engine  # the machine code lives as long as its engine
    return cast(Lzw, lzw), cast(UndoPredictor, undo)

"""The counting kernel: LLVM IR, compiled for this machine's processor when the scorer starts.

Why IR and not a decorated Python loop: the kernel is ready 0.1 s after the interpreter, where
numba needs 1.6 s with a warm cache, and it needs no cache folder (decision 010 has the figures).

How it counts. 64 pixels are loaded at once and taken apart into bit planes, one 64-bit mask per
bit of the value. From the planes, one vector operation gives the 64-bit mask of every class
side by side. Each truth run that crosses the 64 pixels is a bit mask as well: and, population
count, add to the row of the run's label. The cost does not depend on what the pixels are,
and the truth is never expanded.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import llvmlite.binding as llvm

BLOCK_PX = 64
LANES = (8, 16, 32)

# count(record, runs, pixels, size, table, half, last): the record is uint16 lengths[runs], uint8
# labels[runs]; pixels uint8[size], size a multiple of 64; table int64[2, n_labels, LANES], of
# which each half is `half` bytes long: even and odd blocks add to different halves, so that an
# addition need not wait for the one before it. Nothing is read beyond `runs` and `size`, nothing
# written beyond row `last`, whatever the record and the pixels hold.
_IR = """
declare <{L} x i64> @llvm.ctpop.v{L}i64(<{L} x i64>)
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)

define void @count(ptr noalias %lengths, i64 %runs, ptr noalias %pixels, i64 %size,
                   ptr noalias %table, i64 %half, i64 %last) {{
entry:
  %labels = getelementptr i16, ptr %lengths, i64 %runs
  %no_runs = icmp eq i64 %runs, 0
  %no_pixels = icmp eq i64 %size, 0
  %nothing = or i1 %no_runs, %no_pixels
  br i1 %nothing, label %done, label %start
start:
  %length.0 = load i16, ptr %lengths
  %left.0 = zext i16 %length.0 to i64
  %label.0 = load i8, ptr %labels
  %index.start = zext i8 %label.0 to i64
  %index.0 = call i64 @llvm.umin.i64(i64 %index.start, i64 %last)
  br label %block

block:
  %at = phi i64 [ 0, %start ], [ %at.next, %advance ]
  %block.run = phi i64 [ 0, %start ], [ %run.next, %advance ]
  %block.left = phi i64 [ %left.0, %start ], [ %left.next, %advance ]
  %block.index = phi i64 [ %index.0, %start ], [ %index.next, %advance ]
  %number = lshr i64 %at, 6
  %parity = and i64 %number, 1
  %side = mul i64 %parity, %half
  %base = getelementptr i8, ptr %table, i64 %side
  %source = getelementptr i8, ptr %pixels, i64 %at
  %values = load <64 x i8>, ptr %source, align 1
  %high = and <64 x i8> %values, splat (i8 {HIGH})
  %low = icmp eq <64 x i8> %high, zeroinitializer
  %legal = bitcast <64 x i1> %low to i64
  %legal.s = insertelement <{L} x i64> poison, i64 %legal, i32 0
  %class.0 = shufflevector <{L} x i64> %legal.s, <{L} x i64> poison, <{L} x i32> zeroinitializer
{PLANES}
  br label %segment

segment:
  %begin = phi i64 [ 0, %block ], [ %end, %next ]
  %run = phi i64 [ %block.run, %block ], [ %run.next, %next ]
  %left = phi i64 [ %block.left, %block ], [ %left.next, %next ]
  %index = phi i64 [ %block.index, %block ], [ %index.next, %next ]
  %room = sub i64 64, %begin
  %some = call i64 @llvm.umax.i64(i64 %left, i64 1)
  %take = call i64 @llvm.umin.i64(i64 %some, i64 %room)
  %unused = sub i64 64, %take
  %ones = lshr i64 -1, %unused
  %mask = shl i64 %ones, %begin
  %mask.s = insertelement <{L} x i64> poison, i64 %mask, i32 0
  %mask.v = shufflevector <{L} x i64> %mask.s, <{L} x i64> poison, <{L} x i32> zeroinitializer
  %hit = and <{L} x i64> %class.{BITS}, %mask.v
  %pixels.hit = call <{L} x i64> @llvm.ctpop.v{L}i64(<{L} x i64> %hit)
  %row = getelementptr <{L} x i64>, ptr %base, i64 %index
  %before = load <{L} x i64>, ptr %row, align 8
  %after = add <{L} x i64> %before, %pixels.hit
  store <{L} x i64> %after, ptr %row, align 8
  %end = add i64 %begin, %take
  %rest = sub i64 %some, %take
  %spent = icmp eq i64 %rest, 0
  br i1 %spent, label %turn, label %next
turn:
  %run.turn = add i64 %run, 1
  %over = icmp uge i64 %run.turn, %runs
  br i1 %over, label %done, label %load
load:
  %length.at = getelementptr i16, ptr %lengths, i64 %run.turn
  %length = load i16, ptr %length.at
  %left.load = zext i16 %length to i64
  %label.at = getelementptr i8, ptr %labels, i64 %run.turn
  %label = load i8, ptr %label.at
  %index.wide = zext i8 %label to i64
  %index.load = call i64 @llvm.umin.i64(i64 %index.wide, i64 %last)
  br label %next
next:
  %run.next = phi i64 [ %run, %segment ], [ %run.turn, %load ]
  %left.next = phi i64 [ %rest, %segment ], [ %left.load, %load ]
  %index.next = phi i64 [ %index, %segment ], [ %index.load, %load ]
  %full = icmp eq i64 %end, 64
  br i1 %full, label %advance, label %segment
advance:
  %at.next = add i64 %at, 64
  %inside = icmp ult i64 %at.next, %size
  br i1 %inside, label %block, label %done
done:
  ret void
}}
"""

# One bit plane: the pixels whose value has the bit, and the lanes (classes) that want it so.
_PLANE = """\
  %bit.{K} = and <64 x i8> %values, splat (i8 {BIT})
  %set.{K} = icmp ne <64 x i8> %bit.{K}, zeroinitializer
  %plane.{K} = bitcast <64 x i1> %set.{K} to i64
  %plane.{K}.s = insertelement <{L} x i64> poison, i64 %plane.{K}, i32 0
  %plane.{K}.v = shufflevector <{L} x i64> %plane.{K}.s, <{L} x i64> poison,
                               <{L} x i32> zeroinitializer
  %agree.{K} = xor <{L} x i64> %plane.{K}.v, <{FLIPS}>
  %class.{NEXT} = and <{L} x i64> %class.{K}, %agree.{K}"""

Count = Callable[[bytes, int, int, int, int, int, int], None]


def lanes_for(n_classes: int) -> int:
    """The narrowest kernel that holds the classes. Raises ValueError above 32."""
    for lanes in LANES:
        if n_classes <= lanes:
            return lanes
    raise ValueError(f"{n_classes} classes; at most {LANES[-1]} can be counted")


@lru_cache(maxsize=len(LANES))
def load(lanes: int) -> Count:
    """The compiled kernel of 8, 16 or 32 classes; it releases the interpreter's lock.

    Takes the record's bytes and, as integers, addresses and sizes: (record, runs, pixels, size,
    table, half, last).
    """
    if sys.byteorder != "little":
        raise RuntimeError("the counting kernel needs a little-endian processor")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    module = llvm.parse_assembly(source(lanes))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(
        None,
        *[ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64],
        *[ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64],
    )
    function: Any = prototype(engine.get_function_address("count"))
    function.engine = engine  # the machine code lives as long as its engine
    return cast(Count, function)


def source(lanes: int) -> str:
    """The kernel's LLVM IR."""
    bits = lanes.bit_length() - 1
    planes = [
        _PLANE.format(
            K=k,
            NEXT=k + 1,
            L=lanes,
            BIT=1 << k,
            FLIPS=", ".join(f"i64 {0 if (c >> k) & 1 else -1}" for c in range(lanes)),
        )
        for k in range(bits)
    ]
    return _IR.format(L=lanes, BITS=bits, HIGH=256 - lanes, PLANES="\n".join(planes))

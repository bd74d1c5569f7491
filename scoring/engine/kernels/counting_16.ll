; From counting.c by `make kernels`. Change the C, not this file.

; Function Attrs: nofree norecurse nosync nounwind memory(argmem: readwrite)
define void @count_runs(ptr noalias noundef readonly captures(none) %record, i64 noundef %runs, ptr noalias noundef readonly captures(none) %pixels, i64 noundef %n_pixels, ptr noalias noundef captures(none) %counts, i64 noundef %n_labels) local_unnamed_addr #0 {
entry:
  %cmp = icmp eq i64 %runs, 0
  br i1 %cmp, label %cleanup.cont51, label %if.end

if.end:                                           ; preds = %entry
  %mul = shl nsw i64 %runs, 1
  %add.ptr = getelementptr inbounds i8, ptr %record, i64 %mul
  %sub = add nsw i64 %n_labels, -1
  %cmp396 = icmp sgt i64 %n_pixels, 0
  br i1 %cmp396, label %for.body.lr.ph, label %cleanup.cont51

for.body.lr.ph:                                   ; preds = %if.end
  %0 = load i8, ptr %add.ptr, align 1
  %conv2 = zext i8 %0 to i64
  %cond.i = tail call noundef i64 @llvm.smin.i64(i64 %conv2, i64 %sub)
  %1 = load i16, ptr %record, align 1
  %conv = zext i16 %1 to i64
  %2 = shl nsw i64 %n_labels, 4
  br label %for.body

for.body:                                         ; preds = %for.body.lr.ph, %for.inc
  %run.0100 = phi i64 [ 0, %for.body.lr.ph ], [ %run.3, %for.inc ]
  %left.099 = phi i64 [ %conv, %for.body.lr.ph ], [ %left.3, %for.inc ]
  %label.098 = phi i64 [ %cond.i, %for.body.lr.ph ], [ %label.3, %for.inc ]
  %first.097 = phi i64 [ 0, %for.body.lr.ph ], [ %add42, %for.inc ]
  %add.ptr5 = getelementptr inbounds nuw i8, ptr %pixels, i64 %first.097
  %3 = load <64 x i8>, ptr %add.ptr5, align 1
  %cmp.i.i = icmp ult <64 x i8> %3, splat (i8 16)
  %not.i = bitcast <64 x i1> %cmp.i.i to i64
  %splat.splatinsert.i = insertelement <16 x i64> poison, i64 %not.i, i64 0
  %splat.splat.i = shufflevector <16 x i64> %splat.splatinsert.i, <16 x i64> poison, <16 x i32> zeroinitializer
  %cmp.i23.i = trunc <64 x i8> %3 to <64 x i1>
  %4 = bitcast <64 x i1> %cmp.i23.i to i64
  %splat.splatinsert7.i = insertelement <16 x i64> poison, i64 %4, i64 0
  %splat.splat8.i = shufflevector <16 x i64> %splat.splatinsert7.i, <16 x i64> poison, <16 x i32> zeroinitializer
  %xor.i = xor <16 x i64> %splat.splat8.i, <i64 -1, i64 0, i64 -1, i64 0, i64 -1, i64 0, i64 -1, i64 0, i64 -1, i64 0, i64 -1, i64 0, i64 -1, i64 0, i64 -1, i64 0>
  %and9.i = and <16 x i64> %xor.i, %splat.splat.i
  %and.i22.1.i = and <64 x i8> %3, splat (i8 2)
  %cmp.i23.1.i = icmp ne <64 x i8> %and.i22.1.i, zeroinitializer
  %5 = bitcast <64 x i1> %cmp.i23.1.i to i64
  %splat.splatinsert7.1.i = insertelement <16 x i64> poison, i64 %5, i64 0
  %splat.splat8.1.i = shufflevector <16 x i64> %splat.splatinsert7.1.i, <16 x i64> poison, <16 x i32> zeroinitializer
  %xor.1.i = xor <16 x i64> %splat.splat8.1.i, <i64 -1, i64 -1, i64 0, i64 0, i64 -1, i64 -1, i64 0, i64 0, i64 -1, i64 -1, i64 0, i64 0, i64 -1, i64 -1, i64 0, i64 0>
  %and9.1.i = and <16 x i64> %and9.i, %xor.1.i
  %and.i22.2.i = and <64 x i8> %3, splat (i8 4)
  %cmp.i23.2.i = icmp ne <64 x i8> %and.i22.2.i, zeroinitializer
  %6 = bitcast <64 x i1> %cmp.i23.2.i to i64
  %splat.splatinsert7.2.i = insertelement <16 x i64> poison, i64 %6, i64 0
  %splat.splat8.2.i = shufflevector <16 x i64> %splat.splatinsert7.2.i, <16 x i64> poison, <16 x i32> zeroinitializer
  %xor.2.i = xor <16 x i64> %splat.splat8.2.i, <i64 -1, i64 -1, i64 -1, i64 -1, i64 0, i64 0, i64 0, i64 0, i64 -1, i64 -1, i64 -1, i64 -1, i64 0, i64 0, i64 0, i64 0>
  %and9.2.i = and <16 x i64> %and9.1.i, %xor.2.i
  %and.i22.3.i = and <64 x i8> %3, splat (i8 8)
  %cmp.i23.3.i = icmp ne <64 x i8> %and.i22.3.i, zeroinitializer
  %7 = bitcast <64 x i1> %cmp.i23.3.i to i64
  %splat.splatinsert7.3.i = insertelement <16 x i64> poison, i64 %7, i64 0
  %splat.splat8.3.i = shufflevector <16 x i64> %splat.splatinsert7.3.i, <16 x i64> poison, <16 x i32> zeroinitializer
  %xor.3.i = xor <16 x i64> %splat.splat8.3.i, <i64 -1, i64 -1, i64 -1, i64 -1, i64 -1, i64 -1, i64 -1, i64 -1, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0>
  %and9.3.i = and <16 x i64> %and9.2.i, %xor.3.i
  %8 = and i64 %first.097, 64
  %.not = icmp eq i64 %8, 0
  %mul8 = select i1 %.not, i64 0, i64 %2
  %add.ptr9 = getelementptr inbounds i64, ptr %counts, i64 %mul8
  br label %while.body

while.body:                                       ; preds = %for.body, %cleanup
  %run.195 = phi i64 [ %run.0100, %for.body ], [ %run.3, %cleanup ]
  %left.194 = phi i64 [ %left.099, %for.body ], [ %left.3, %cleanup ]
  %label.193 = phi i64 [ %label.098, %for.body ], [ %label.3, %cleanup ]
  %done.092 = phi i64 [ 0, %for.body ], [ %add19, %cleanup ]
  %cond = tail call i64 @llvm.smax.i64(i64 %left.194, i64 1)
  %sub14 = sub nuw nsw i64 64, %done.092
  %9 = tail call i64 @llvm.umin.i64(i64 %cond, i64 %sub14)
  %sub16 = sub nuw nsw i64 64, %9
  %shr = lshr i64 -1, %sub16
  %shl = shl i64 %shr, %done.092
  %add.ptr18.idx = shl nsw i64 %label.193, 7
  %add.ptr18 = getelementptr inbounds i8, ptr %add.ptr9, i64 %add.ptr18.idx
  %splat.splatinsert = insertelement <16 x i64> poison, i64 %shl, i64 0
  %splat.splat = shufflevector <16 x i64> %splat.splatinsert, <16 x i64> poison, <16 x i32> zeroinitializer
  %and = and <16 x i64> %and9.3.i, %splat.splat
  %elt.ctpop = tail call range(i64 0, 65) <16 x i64> @llvm.ctpop.v16i64(<16 x i64> %and)
  %10 = load <16 x i64>, ptr %add.ptr18, align 8
  %add = add <16 x i64> %10, %elt.ctpop
  store <16 x i64> %add, ptr %add.ptr18, align 8
  %add19 = add nuw nsw i64 %9, %done.092
  %sub20 = sub nsw i64 %cond, %9
  %cmp21 = icmp eq i64 %sub20, 0
  br i1 %cmp21, label %if.then23, label %cleanup

if.then23:                                        ; preds = %while.body
  %inc = add nsw i64 %run.195, 1
  %cmp24 = icmp eq i64 %inc, %runs
  br i1 %cmp24, label %cleanup.cont51, label %if.end27

if.end27:                                         ; preds = %if.then23
  %arrayidx28 = getelementptr inbounds i16, ptr %record, i64 %inc
  %11 = load i16, ptr %arrayidx28, align 1
  %conv29 = zext i16 %11 to i64
  %arrayidx30 = getelementptr inbounds i8, ptr %add.ptr, i64 %inc
  %12 = load i8, ptr %arrayidx30, align 1
  %conv31 = zext i8 %12 to i64
  %cond.i79 = tail call noundef i64 @llvm.smin.i64(i64 %conv31, i64 %sub)
  br label %cleanup

cleanup:                                          ; preds = %while.body, %if.end27
  %label.3 = phi i64 [ %label.193, %while.body ], [ %cond.i79, %if.end27 ]
  %left.3 = phi i64 [ %sub20, %while.body ], [ %conv29, %if.end27 ]
  %run.3 = phi i64 [ %run.195, %while.body ], [ %inc, %if.end27 ]
  %cmp10 = icmp samesign ugt i64 %add19, 63
  br i1 %cmp10, label %for.inc, label %while.body, !llvm.loop !5

for.inc:                                          ; preds = %cleanup
  %add42 = add nuw nsw i64 %first.097, 64
  %cmp3 = icmp slt i64 %add42, %n_pixels
  br i1 %cmp3, label %for.body, label %cleanup.cont51, !llvm.loop !7

cleanup.cont51:                                   ; preds = %for.inc, %if.then23, %if.end, %entry
  ret void
}

; Function Attrs: mustprogress nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none)
declare <16 x i64> @llvm.ctpop.v16i64(<16 x i64>) #1

; Function Attrs: nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none)
declare i64 @llvm.smax.i64(i64, i64) #2

; Function Attrs: nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none)
declare i64 @llvm.smin.i64(i64, i64) #2

; Function Attrs: nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none)
declare i64 @llvm.umin.i64(i64, i64) #2

attributes #0 = { nofree norecurse nosync nounwind memory(argmem: readwrite) }
attributes #1 = { mustprogress nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none) }
attributes #2 = { nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none) }

!5 = distinct !{!5, !6}
!6 = !{!"llvm.loop.mustprogress"}
!7 = distinct !{!7, !6}

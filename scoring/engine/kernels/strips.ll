; From strips.c by `make kernels`. Change the C, not this file.

; Function Attrs: nofree norecurse nosync nounwind memory(argmem: readwrite)
define range(i32 0, 2) i32 @decode_lzw(ptr noalias noundef readonly captures(none) %source, i64 noundef %begin, i64 noundef %end, ptr noalias noundef captures(none) %out, i64 noundef %first, i64 noundef %stop, ptr noalias noundef captures(none) %table) local_unnamed_addr #0 {
entry:
  %sub = sub nsw i64 %end, %begin
  %cmp = icmp slt i64 %sub, 3
  br i1 %cmp, label %return, label %lor.lhs.false

lor.lhs.false:                                    ; preds = %entry
  %arrayidx = getelementptr inbounds i8, ptr %source, i64 %begin
  %0 = load i8, ptr %arrayidx, align 1
  %cmp1.not = icmp eq i8 %0, -128
  br i1 %cmp1.not, label %lor.lhs.false3, label %return

lor.lhs.false3:                                   ; preds = %lor.lhs.false
  %arrayidx4 = getelementptr i8, ptr %arrayidx, i64 1
  %1 = load i8, ptr %arrayidx4, align 1
  %cmp6 = icmp slt i8 %1, 0
  br i1 %cmp6, label %return, label %if.end

if.end:                                           ; preds = %lor.lhs.false3
  %mul8 = shl i64 %end, 3
  %cmp9148 = icmp slt i64 %first, %stop
  br i1 %cmp9148, label %while.body.preheader, label %return

while.body.preheader:                             ; preds = %if.end
  %mul = shl i64 %begin, 3
  br label %while.body

while.body:                                       ; preds = %while.body.preheader, %cleanup80
  %bit.0154 = phi i64 [ %add25, %cleanup80 ], [ %mul, %while.body.preheader ]
  %width.0153 = phi i64 [ %width.2, %cleanup80 ], [ 9, %while.body.preheader ]
  %last_length.0152 = phi i64 [ %last_length.1, %cleanup80 ], [ 0, %while.body.preheader ]
  %last_at.0151 = phi i64 [ %last_at.1, %cleanup80 ], [ 0, %while.body.preheader ]
  %at.0150 = phi i64 [ %at.1, %cleanup80 ], [ %first, %while.body.preheader ]
  %free.0149 = phi i64 [ %free.2, %cleanup80 ], [ 258, %while.body.preheader ]
  %cmp11.not = icmp eq i64 %last_length.0152, 0
  br i1 %cmp11.not, label %if.end24, label %if.then13

if.then13:                                        ; preds = %while.body
  %add14 = shl nuw i64 %last_length.0152, 32
  %shl = add i64 %add14, 4294967296
  %or = or i64 %shl, %last_at.0151
  %inc = add nuw nsw i64 %free.0149, 1
  %arrayidx15 = getelementptr inbounds nuw i64, ptr %table, i64 %free.0149
  store i64 %or, ptr %arrayidx15, align 8
  %inc.highbits = lshr i64 %inc, %width.0153
  %cmp17 = icmp ne i64 %inc.highbits, 0
  %cmp19 = icmp ult i64 %width.0153, 12
  %or.cond = and i1 %cmp19, %cmp17
  %inc22 = zext i1 %or.cond to i64
  %spec.select = add nuw nsw i64 %width.0153, %inc22
  br label %if.end24

if.end24:                                         ; preds = %if.then13, %while.body
  %free.1 = phi i64 [ %free.0149, %while.body ], [ %inc, %if.then13 ]
  %width.1 = phi i64 [ %width.0153, %while.body ], [ %spec.select, %if.then13 ]
  %add25 = add i64 %width.1, %bit.0154
  %cmp26 = icmp ugt i64 %add25, %mul8
  br i1 %cmp26, label %return, label %if.end29

if.end29:                                         ; preds = %if.end24
  %div140 = lshr i64 %bit.0154, 3
  %add.ptr = getelementptr inbounds nuw i8, ptr %source, i64 %div140
  %2 = load i64, ptr %add.ptr, align 1
  %3 = tail call i64 @llvm.bswap.i64(i64 %2)
  %rem = and i64 %bit.0154, 7
  %shl30 = shl i64 %3, %rem
  %sub31 = sub i64 64, %width.1
  %shr = lshr i64 %shl30, %sub31
  %cmp33 = icmp ult i64 %shr, 256
  br i1 %cmp33, label %if.then35, label %if.else

if.then35:                                        ; preds = %if.end29
  %conv36 = trunc nuw i64 %shr to i8
  %arrayidx37 = getelementptr inbounds i8, ptr %out, i64 %at.0150
  store i8 %conv36, ptr %arrayidx37, align 1
  br label %if.end74

if.else:                                          ; preds = %if.end29
  %cmp38 = icmp eq i64 %shr, 256
  br i1 %cmp38, label %cleanup80, label %if.else41, !llvm.loop !5

if.else41:                                        ; preds = %if.else
  %cmp42 = icmp ugt i64 %shr, 257
  %cmp45.not = icmp ult i64 %shr, %free.1
  %or.cond141 = select i1 %cmp42, i1 %cmp45.not, i1 false
  br i1 %or.cond141, label %if.end48, label %return

if.end48:                                         ; preds = %if.else41
  %arrayidx49 = getelementptr inbounds nuw i64, ptr %table, i64 %shr
  %4 = load i64, ptr %arrayidx49, align 8
  %shr51 = lshr i64 %4, 32
  %add52 = add nsw i64 %shr51, %at.0150
  %cmp53.not = icmp sgt i64 %add52, %stop
  br i1 %cmp53.not, label %return, label %do.body.preheader

do.body.preheader:                                ; preds = %if.end48
  %and = and i64 %4, 4294967295
  %add.ptr57 = getelementptr inbounds nuw i8, ptr %out, i64 %and
  %add.ptr59 = getelementptr inbounds i8, ptr %out, i64 %at.0150
  br label %do.body

do.body:                                          ; preds = %do.body.preheader, %do.body
  %copied.0 = phi i64 [ %add61, %do.body ], [ 0, %do.body.preheader ]
  %add.ptr58 = getelementptr inbounds nuw i8, ptr %add.ptr57, i64 %copied.0
  %5 = load <32 x i8>, ptr %add.ptr58, align 1
  %add.ptr60 = getelementptr inbounds nuw i8, ptr %add.ptr59, i64 %copied.0
  store <32 x i8> %5, ptr %add.ptr60, align 1
  %add61 = add nuw nsw i64 %copied.0, 32
  %cmp62 = icmp samesign ult i64 %add61, %shr51
  br i1 %cmp62, label %do.body, label %do.end, !llvm.loop !7

do.end:                                           ; preds = %do.body
  %sub64 = add nsw i64 %free.1, -1
  %cmp65 = icmp eq i64 %shr, %sub64
  br i1 %cmp65, label %if.then67, label %if.end74

if.then67:                                        ; preds = %do.end
  %6 = load i8, ptr %add.ptr59, align 1
  %7 = getelementptr i8, ptr %out, i64 %add52
  %arrayidx71 = getelementptr i8, ptr %7, i64 -1
  store i8 %6, ptr %arrayidx71, align 1
  br label %if.end74

if.end74:                                         ; preds = %if.then67, %do.end, %if.then35
  %length.0 = phi i64 [ 1, %if.then35 ], [ %shr51, %do.end ], [ %shr51, %if.then67 ]
  %cmp75 = icmp ugt i64 %free.1, 4096
  br i1 %cmp75, label %return, label %if.end78

if.end78:                                         ; preds = %if.end74
  %add79 = add nsw i64 %length.0, %at.0150
  br label %cleanup80

cleanup80:                                        ; preds = %if.else, %if.end78
  %free.2 = phi i64 [ 258, %if.else ], [ %free.1, %if.end78 ]
  %at.1 = phi i64 [ %at.0150, %if.else ], [ %add79, %if.end78 ]
  %last_at.1 = phi i64 [ %last_at.0151, %if.else ], [ %at.0150, %if.end78 ]
  %last_length.1 = phi i64 [ 0, %if.else ], [ %length.0, %if.end78 ]
  %width.2 = phi i64 [ 9, %if.else ], [ %width.1, %if.end78 ]
  %cmp9 = icmp slt i64 %at.1, %stop
  br i1 %cmp9, label %while.body, label %return

return:                                           ; preds = %cleanup80, %if.end24, %if.end74, %if.end48, %if.else41, %if.end, %entry, %lor.lhs.false, %lor.lhs.false3
  %retval.5 = phi i32 [ 0, %entry ], [ 0, %lor.lhs.false3 ], [ 0, %lor.lhs.false ], [ 1, %if.end ], [ 0, %if.end48 ], [ 0, %if.end74 ], [ 0, %if.end24 ], [ 1, %cleanup80 ], [ 0, %if.else41 ]
  ret i32 %retval.5
}

; Function Attrs: mustprogress nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none)
declare i64 @llvm.bswap.i64(i64) #1

; Function Attrs: nofree norecurse nosync nounwind memory(argmem: readwrite)
define void @undo_predictor(ptr noundef captures(none) %out, i64 noundef %first, i64 noundef %stop, i64 noundef %row) local_unnamed_addr #0 {
entry:
  %cmp24 = icmp slt i64 %first, %stop
  br i1 %cmp24, label %for.cond1.preheader.preheader, label %for.cond.cleanup

for.cond1.preheader.preheader:                    ; preds = %entry
  %cmp221 = icmp sgt i64 %row, 0
  br label %for.cond1.preheader

for.cond.loopexit:                                ; preds = %for.body4, %for.cond1.preheader
  %cmp = icmp slt i64 %add, %stop
  br i1 %cmp, label %for.cond1.preheader, label %for.cond.cleanup, !llvm.loop !8

for.cond1.preheader:                              ; preds = %for.cond1.preheader.preheader, %for.cond.loopexit
  %begin.025 = phi i64 [ %add, %for.cond.loopexit ], [ %first, %for.cond1.preheader.preheader ]
  %add = add nsw i64 %begin.025, %row
  br i1 %cmp221, label %for.body4, label %for.cond.loopexit

for.cond.cleanup:                                 ; preds = %for.cond.loopexit, %entry
  ret void

for.body4:                                        ; preds = %for.cond1.preheader, %for.body4
  %at.023 = phi i64 [ %inc, %for.body4 ], [ %begin.025, %for.cond1.preheader ]
  %value.022 = phi i8 [ %add6, %for.body4 ], [ 0, %for.cond1.preheader ]
  %arrayidx = getelementptr inbounds i8, ptr %out, i64 %at.023
  %0 = load i8, ptr %arrayidx, align 1
  %add6 = add i8 %0, %value.022
  store i8 %add6, ptr %arrayidx, align 1
  %inc = add nsw i64 %at.023, 1
  %cmp2 = icmp slt i64 %inc, %add
  br i1 %cmp2, label %for.body4, label %for.cond.loopexit, !llvm.loop !9
}

attributes #0 = { nofree norecurse nosync nounwind memory(argmem: readwrite) }
attributes #1 = { mustprogress nocallback nocreateundeforpoison nofree nosync nounwind speculatable willreturn memory(none) }

!5 = distinct !{!5, !6}
!6 = !{!"llvm.loop.mustprogress"}
!7 = distinct !{!7, !6}
!8 = distinct !{!8, !6}
!9 = distinct !{!9, !6}

//go:build !portable

#include "textflag.h"

// ocipipe_start is where the process begins; see streams_linux.go. What the registers
// have at that point is of no use to the runtime, which finds all it needs on the
// stack.
TEXT ocipipe_start(SB), NOSPLIT|NOFRAME, $0
	MOVW $8, R19          // streamsSeen
	MOVW $1, R20          // the bit of the descriptor
	MOVW $0, R21
next:
	MOVD $25, R8          // fcntl(R21, F_GETFD)
	MOVD R21, R0
	MOVD $1, R1
	MOVD $0, R2
	SVC
	CMN  $9, R0           // EBADF
	BNE  open
	ORRW R20, R19
open:
	LSLW $1, R20
	ADD  $1, R21
	CMP  $3, R21
	BLT  next
	MOVW R19, ·streamsAtStart(SB)
	B    _rt0_arm64_linux(SB)

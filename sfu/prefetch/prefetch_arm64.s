#include "textflag.h"

// func fetch(spans *uintptr, n int)
TEXT ·fetch(SB), NOSPLIT, $0-16
	MOVD spans+0(FP), R0
	MOVD n+8(FP), R1

span:
	MOVD.P 8(R0), R2
	AND    $63, R2, R3
	SUB    R3, R2, R2

line:
	PRFM (R2), PLDL1KEEP
	ADD  $64, R2
	SUBS $1, R3
	BNE  line
	SUBS $1, R1
	BNE  span
	RET

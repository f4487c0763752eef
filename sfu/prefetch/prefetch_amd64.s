#include "textflag.h"

// func fetch(spans *uintptr, n int)
TEXT ·fetch(SB), NOSPLIT, $0-16
	MOVQ spans+0(FP), SI
	MOVQ n+8(FP), CX

span:
	MOVQ (SI), AX
	MOVQ AX, DX
	ANDQ $63, DX
	SUBQ DX, AX

line:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	DECQ DX
	JNZ  line
	ADDQ $8, SI
	DECQ CX
	JNZ  span
	RET

package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	events := `{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestGood/sub"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"    p_test.go:1: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"output","Package":"p","Test":"TestSkip","Output":"=== RUN   TestSkip\n"}
{"Action":"output","Package":"p","Test":"TestSkip","Output":"    p_test.go:2: umoci is not installed\n"}
{"Action":"output","Package":"p","Test":"TestSkip","Output":"--- SKIP: TestSkip (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestSkip"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
{"ImportPath":"q","Action":"build-output","Output":"q.go:1: syntax error\n"}
{"Action":"output","Package":"q","Output":"FAIL\tq [build failed]\n"}
{"Action":"fail","Package":"q"}
{"Action":"output","Package":"r","Test":"TestCrash","Output":"panic: oh\n"}
{"Action":"fail","Package":"r"}
{"Action":"output","Package":"s","Output":"ok  \ts\t0.1s\n"}
{"Action":"pass","Package":"s"}
not json
`
	var out bytes.Buffer
	tally := newTally(&out)
	tally.read(strings.NewReader(events))
	tally.summary("unit", true)
	want := `    p_test.go:1: wrong
FAIL	p	0.1s
q.go:1: syntax error
FAIL	q [build failed]
panic: oh
ok  	s	0.1s
not json
skipped: p TestSkip: umoci is not installed
unit: 1 passed, 3 failed, 1 skipped
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

// A streamlog client made of docs/protocol.md and proto/ alone; ../README.md says what it does.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"

	pb "streamlog.example/client/streamlogv1"
)

const firstMs = 1_700_000_000_000

type object = map[string]any

type flags map[string]string

func (f flags) number(name string) int64 {
	n, _ := strconv.ParseInt(f[name], 10, 64)
	return n
}

var (
	out   = bufio.NewWriter(os.Stdout)
	outMu sync.Mutex
)

// say prints lines for whoever started the program.
func say(lines ...any) {
	outMu.Lock()
	defer outMu.Unlock()
	for _, line := range lines {
		text, _ := json.Marshal(line)
		out.Write(append(text, '\n'))
	}
	out.Flush()
}

// printed is how a record is shown.
type printed struct {
	Partition   uint32       `json:"partition"`
	Offset      uint64       `json:"offset"`
	TimestampMs int64        `json:"timestamp_ms"`
	Key         *string      `json:"key"`
	Value       *string      `json:"value"`
	Headers     [][2]*string `json:"headers"`
}

func hexOf(b []byte) *string {
	if b == nil {
		return nil
	}
	text := hex.EncodeToString(b)
	return &text
}

func (r stored) printed() printed {
	headers := make([][2]*string, 0, len(r.Headers))
	for _, h := range r.Headers {
		headers = append(headers, [2]*string{&h.Name, hexOf(h.Value)})
	}
	return printed{r.partition, r.offset, r.timeMs, hexOf(r.Key), hexOf(r.Value), headers}
}

func show(records []stored) {
	lines := make([]any, len(records))
	for i, r := range records {
		lines[i] = r.printed()
	}
	say(lines...)
}

// record number n of a program; its time counts from firstMs.
func record(name string, n int64) *pb.Record {
	r := &pb.Record{TimestampDeltaMs: n}
	if n%10 != 9 {
		r.Key = fmt.Appendf(nil, "key-%d", n%100)
	}
	switch n % 100 {
	case 17:
	case 18:
		r.Value = []byte{}
	default:
		text := fmt.Sprintf("%s:%d:", name, n)
		r.Value = []byte(text + strings.Repeat("x", max(0, 100-len(text))))
	}
	if n%10 == 3 {
		r.Headers = []*pb.Header{{Name: "writer", Value: []byte(name)}, {Name: "none"}}
	}
	return r
}

func main() {
	f := flags{}
	for i := 2; i+1 < len(os.Args); i += 2 {
		f[strings.TrimPrefix(os.Args[i], "--")] = os.Args[i+1]
	}
	c := &cluster{addresses: strings.Split(f["bootstrap"], ","), open: map[string]*grpc.ClientConn{}}
	commands := map[string]func(context.Context, *cluster, flags) error{
		"vectors": vectors, "plain": plain, "produce": produce, "consume": consume,
		"replay": consume, "group": group}
	run := commands[os.Args[1]]
	if run == nil {
		fmt.Fprintln(os.Stderr, "unknown command", os.Args[1])
		os.Exit(1)
	}
	if err := run(context.Background(), c, f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

package main

import (
	"context"
	"time"

	"google.golang.org/grpc/stats"

	pb "streamlog.example/client/streamlogv1"
)

const window = 8 << 20 // Bytes that may be on their way to this program, on each stream.

// part is what a response brought: the records of [.., next), and whom they were read for.
type part struct {
	records []stored
	next    uint64
	by      *reader
}

// reader follows one partition from an offset on, from leader to leader.
type reader struct {
	topic     string
	partition uint32
	position  uint64
	parts     chan<- part
}

// received tells a call that wants to know how large its last message was: proto.Size is less, for
// nodes write zero fields and padded lengths.
type received struct{}

type receivedKey struct{}

func (received) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if in, ok := event.(*stats.InPayload); ok {
		if size, ok := ctx.Value(receivedKey{}).(*uint64); ok {
			*size = uint64(in.Length)
		}
	}
}

func (received) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (received) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (received) HandleConn(context.Context, stats.ConnStats)                       {}

func (r *reader) run(ctx context.Context, c *cluster) error {
	return patiently(ctx, func(ctx context.Context, progress func()) error {
		leader, topicID, err := c.leader(ctx, r.topic, r.partition)
		if err != nil {
			return err
		}
		var size uint64 // Of the last response, as it came.
		ctx, cancel := context.WithCancel(context.WithValue(ctx, receivedKey{}, &size))
		defer cancel()
		stream, err := leader.Fetch(ctx)
		if err != nil {
			return err
		}
		request := &pb.FetchRequest{CreditBytes: window, Partitions: []*pb.FetchPartition{{TopicId: topicID,
			Partition: r.partition, Offset: r.position, SessionEpoch: 1}}}
		for {
			if err := stream.Send(request); err != nil {
				_, err = stream.Recv() // Says why.
				return err
			}
			response, err := stream.Recv()
			if err != nil {
				return err
			}
			if response.Error != nil {
				return refusal{response.Error}
			}
			brought := part{next: response.NextOffset, by: r}
			for _, b := range response.Batches {
				if brought.records, err = read(brought.records, b, r.position); err != nil {
					return err
				}
			}
			select {
			case r.parts <- brought:
			case <-ctx.Done():
				return ctx.Err()
			}
			r.position = response.NextOffset
			progress()
			request = &pb.FetchRequest{CreditBytes: size}
		}
	})
}

// offset asks the leader for a named position, or that of a time.
func (c *cluster) offset(ctx context.Context, topic string, partition uint32, spec pb.OffsetSpec,
	timeMs int64) (offset uint64, err error) {
	err = patiently(ctx, func(ctx context.Context, _ func()) error {
		leader, topicID, err := c.leader(ctx, topic, partition)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		response, err := leader.ListOffsets(ctx, &pb.ListOffsetsRequest{Queries: []*pb.OffsetQuery{
			{TopicId: topicID, Partition: partition, Spec: spec, TimestampMs: timeMs}}})
		if err != nil {
			return err
		}
		if e := response.Answers[0].Error; e != nil {
			return refusal{e}
		}
		offset = response.Answers[0].Offset
		return nil
	})
	return offset, err
}

// consume reads all partitions, or one, from their start, an offset or a time.
func consume(ctx context.Context, c *cluster, f flags) error {
	begun := time.Now()
	topic, _, err := c.topic(ctx, f["topic"])
	if err != nil {
		return err
	}
	spec := pb.OffsetSpec_OFFSET_SPEC_EARLIEST
	if _, ok := f["time-ms"]; ok {
		spec = pb.OffsetSpec_OFFSET_SPEC_TIMESTAMP
	}
	parts, failed := make(chan part), make(chan error)
	ends := map[uint32]uint64{} // Of partitions that are not read to their end.
	for _, p := range topic.Partitions {
		number := p.Partition
		if _, ok := f["partition"]; ok && int64(number) != f.number("partition") {
			continue
		}
		start := uint64(f.number("offset"))
		if _, ok := f["offset"]; !ok {
			if start, err = c.offset(ctx, f["topic"], number, spec, f.number("time-ms")); err != nil {
				return err
			}
		}
		end, err := c.offset(ctx, f["topic"], number, pb.OffsetSpec_OFFSET_SPEC_LATEST, 0)
		if err != nil {
			return err
		}
		if f.number("records") > 0 || start < end {
			ends[number] = end
			r := &reader{f["topic"], number, start, parts}
			go func() { failed <- r.run(ctx, c) }()
		}
	}
	var count int64
	for len(ends) > 0 && (f.number("records") == 0 || count < f.number("records")) {
		select {
		case brought := <-parts:
			count += int64(len(brought.records))
			if f["print"] != "0" {
				show(brought.records)
			}
			if f.number("records") == 0 && brought.next >= ends[brought.by.partition] {
				delete(ends, brought.by.partition)
			}
		case err := <-failed:
			return err
		}
	}
	seconds := time.Since(begun).Seconds()
	say(object{"result": "consume", "records": count, "seconds": seconds,
		"per_second": float64(count) / seconds})
	return nil
}

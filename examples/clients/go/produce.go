package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	pb "streamlog.example/client/streamlogv1"
)

const inFlightMax = 5

// partition is one partition of a producer: a stream to its leader, and what is unanswered on it.
type partition struct {
	number, routingEpoch uint32
	topic                string
	producer             *pb.InitProducerResponse
	sequence             uint32
	full                 chan []*pb.Record
	pending              []*pb.RecordBatch // Unanswered, oldest first.
	counts               *counts
}

type counts struct{ stored, duplicates, resent atomic.Int64 }

// run stores what comes from `full` until that is closed. Whenever something goes wrong the stream is
// given up, and what is unanswered is sent again to the leader of then: the same bytes, in order.
func (p *partition) run(ctx context.Context, c *cluster) error {
	return patiently(ctx, func(ctx context.Context, progress func()) error {
		leader, topicID, err := c.leader(ctx, p.topic, p.number)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := leader.Produce(ctx)
		if err != nil {
			return err
		}
		p.counts.resent.Add(int64(len(p.pending)))
		for _, b := range p.pending {
			if err := send(stream, b, topicID); err != nil {
				return err
			}
		}
		results, failed := make(chan *pb.ProduceResult), make(chan error, 1)
		go receive(ctx, stream, results, failed)
		for p.full != nil || len(p.pending) > 0 {
			full := p.full
			if len(p.pending) >= inFlightMax {
				full = nil
			}
			select {
			case records, more := <-full:
				if !more {
					p.full = nil
					continue
				}
				b, err := newBatch(records, firstMs, p)
				if err != nil {
					return err
				}
				p.pending = append(p.pending, b)
				if err := send(stream, b, topicID); err != nil {
					return err
				}
			case result := <-results:
				if err := p.answered(result); err != nil {
					return err
				}
				progress()
			case err := <-failed:
				return err
			case <-time.After(callTimeout):
				if len(p.pending) > 0 {
					return context.DeadlineExceeded
				}
			}
		}
		return nil
	})
}

// send names a request by its sequence, which is unique among the few that are unanswered.
func send(stream grpc.BidiStreamingClient[pb.ProduceRequest, pb.ProduceResponse], b *pb.RecordBatch,
	topicID uint64) error {
	return stream.Send(&pb.ProduceRequest{Entries: []*pb.ProduceEntry{
		{RequestId: uint64(b.BaseSequence), TopicId: topicID, Batch: b}}})
}

func receive(ctx context.Context, stream grpc.BidiStreamingClient[pb.ProduceRequest, pb.ProduceResponse],
	results chan<- *pb.ProduceResult, failed chan<- error) {
	for {
		response, err := stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		for _, result := range response.Results {
			select {
			case results <- result:
			case <-ctx.Done():
				return
			}
		}
	}
}

// answered takes the result of the oldest batch: results of a partition come in order.
func (p *partition) answered(result *pb.ProduceResult) error {
	b := p.pending[0]
	if uint64(b.BaseSequence) != result.RequestId {
		return fmt.Errorf("an answer to %d, not to %d", result.RequestId, b.BaseSequence)
	}
	if e := result.Error; e != nil && e.Reason != "DUPLICATE_SEQUENCE" {
		return refusal{e}
	}
	if result.Duplicate || result.Error != nil {
		p.counts.duplicates.Add(1)
	}
	p.pending = p.pending[1:]
	say(object{"stored": p.counts.stored.Add(int64(b.RecordCount))})
	return nil
}

func produce(ctx context.Context, c *cluster, f flags) error {
	if err := c.createTopic(ctx, f["topic"], 3); err != nil {
		return err
	}
	topic, _, err := c.topic(ctx, f["topic"])
	if err != nil {
		return err
	}
	if topic.Routing.Function != "crc32" {
		return fmt.Errorf("unknown routing %q", topic.Routing.Function)
	}
	var producer *pb.InitProducerResponse
	if err := c.any(ctx, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		producer, err = pb.NewLogServiceClient(conn).InitProducer(ctx, &pb.InitProducerRequest{})
		return err
	}); err != nil {
		return err
	}
	count, size := f.number("records"), int(f.number("batch"))
	begun, done, total := time.Now(), make(chan error), &counts{}
	partitions := make([]*partition, topic.Routing.PartitionCount)
	channels := make([]chan []*pb.Record, len(partitions))
	for i := range partitions {
		channels[i] = make(chan []*pb.Record, 1)
		p := &partition{number: uint32(i), routingEpoch: topic.Routing.Epoch, topic: f["topic"],
			producer: producer, full: channels[i], counts: total}
		go func() { done <- p.run(ctx, c) }()
	}
	begin := make([][]*pb.Record, len(partitions))
	home := 0 // Where records without a key go, until a batch there is full.
	for n := range count {
		r, to := record(f["name"], n), home
		if r.Key != nil {
			to = int(crc32.ChecksumIEEE(r.Key) % uint32(len(begin)))
		}
		if begin[to] = append(begin[to], r); len(begin[to]) == size {
			select {
			case channels[to] <- begin[to]:
			case err := <-done:
				return err
			}
			begin[to] = nil
			home = (home + 1) % len(begin)
			time.Sleep(time.Duration(f.number("pause-ms")) * time.Millisecond)
		}
	}
	for i, records := range begin {
		if len(records) > 0 {
			channels[i] <- records
		}
		close(channels[i])
	}
	for range partitions {
		if err := <-done; err != nil {
			return err
		}
	}
	seconds := time.Since(begun).Seconds()
	say(object{"result": "produce", "records": total.stored.Load(), "seconds": seconds,
		"per_second": float64(count) / seconds, "duplicates": total.duplicates.Load(),
		"resent": total.resent.Load()})
	return nil
}

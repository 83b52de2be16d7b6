package main

import (
	"context"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"

	pb "streamlog.example/client/streamlogv1"
)

const published = 100 // Records in a request.

// records is a client of any node that answers.
func (c *cluster) records(ctx context.Context) (client pb.RecordServiceClient, err error) {
	err = c.any(ctx, func(_ context.Context, conn *grpc.ClientConn) error {
		client = pb.NewRecordServiceClient(conn)
		return nil
	})
	return client, err
}

// publisher stores records 0 to count by one stream after the other. Those without a result are
// published again, and may be there twice: who minds takes the fast path.
type publisher struct {
	c                   *cluster
	topic, name         string
	count, stored, sent int64
	done                map[int64]bool
}

// run is one stream, until every record has its result.
func (p *publisher) run(ctx context.Context, progress func()) error {
	client, err := p.c.records(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := client.PublishStream(ctx)
	if err != nil {
		cancel()
		return err
	}
	var left []int64
	for id := range p.count {
		if !p.done[id] {
			left = append(left, id)
		}
	}
	sender := make(chan struct{})
	defer func() {
		cancel()
		<-sender
	}()
	go func() { // An error of Send is told by Recv.
		defer close(sender)
		for ids := range slices.Chunk(left, published) {
			p.sent += int64(len(ids))
			if stream.Send(p.request(ids)) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	failure := refusal{&pb.Error{Reason: "UNAVAILABLE", Message: "no result", Retriable: true}}
	for {
		response, err := stream.Recv()
		if err == io.EOF && p.stored == p.count {
			return nil
		} else if err == io.EOF {
			return failure
		} else if err != nil {
			return err
		}
		for _, result := range response.Results {
			if e := result.Error; e == nil {
				p.done[int64(result.Id)] = true
				p.stored++
			} else if failure = (refusal{e}); e.Indefinite {
				e.Retriable = true // Others are not affected; this one is in the next stream.
			} else if !retriable(failure) {
				return failure
			}
		}
		say(object{"stored": p.stored})
		progress()
	}
}

func (p *publisher) request(ids []int64) *pb.PublishRequest {
	request := &pb.PublishRequest{Topic: p.topic}
	for _, id := range ids {
		r, timeMs := record(p.name, id), firstMs+id
		request.Records = append(request.Records, &pb.PublishRecord{Id: uint64(id), Key: r.Key,
			Value: r.Value, Headers: r.Headers, TimestampMs: &timeMs})
	}
	return request
}

// subscriber reads a topic to its end by one stream after the other.
type subscriber struct {
	c         *cluster
	topic     string
	positions map[uint32]uint64 // Where to go on.
	read      int64
}

// run is one stream, to what is the end when it begins.
func (s *subscriber) run(ctx context.Context, progress func()) error {
	client, err := s.c.records(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request := &pb.SubscribeRequest{Topic: s.topic, Start: pb.OffsetSpec_OFFSET_SPEC_EARLIEST,
		UntilEnd: true}
	for partition, offset := range s.positions {
		request.Offsets = append(request.Offsets,
			&pb.PartitionStart{Partition: partition, Offset: offset})
	}
	stream, err := client.Subscribe(ctx, request)
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		records := make([]stored, len(response.Records))
		for i, r := range response.Records {
			timeMs := response.AppendTimeMs
			if timeMs == 0 {
				timeMs = response.BaseTimestampMs + r.TimestampDeltaMs
			}
			records[i] = stored{response.Partition, response.BaseOffset + uint64(r.OffsetDelta), timeMs, r}
		}
		show(records)
		s.read += int64(len(records))
		s.positions[response.Partition] = response.NextOffset
		progress()
	}
}

// plain publishes and subscribes at any node: no routing, batches or checksums.
func plain(ctx context.Context, c *cluster, f flags) error {
	if err := c.createTopic(ctx, f["topic"], 2); err != nil {
		return err
	}
	publishing := &publisher{c: c, topic: f["topic"], name: f["name"], count: f.number("records"),
		done: map[int64]bool{}}
	begun := time.Now()
	if err := patiently(ctx, publishing.run); err != nil {
		return err
	}
	publishingSeconds := time.Since(begun).Seconds()
	subscribing := &subscriber{c: c, topic: f["topic"], positions: map[uint32]uint64{}}
	begun = time.Now()
	if err := patiently(ctx, subscribing.run); err != nil {
		return err
	}
	say(object{"result": "plain", "records": publishing.stored, "read": subscribing.read,
		"resent":               publishing.sent - publishing.count,
		"publish_per_second":   float64(publishing.stored) / publishingSeconds,
		"subscribe_per_second": float64(subscribing.read) / time.Since(begun).Seconds()})
	return nil
}

package main

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"

	pb "streamlog.example/client/streamlogv1"
)

const published = 100 // Records in a request.

// plain publishes and subscribes at any node: no routing, batches or checksums.
func plain(ctx context.Context, c *cluster, f flags) error {
	if err := c.createTopic(ctx, f["topic"], 2); err != nil {
		return err
	}
	var client pb.RecordServiceClient
	if err := c.any(ctx, func(_ context.Context, conn *grpc.ClientConn) error {
		client = pb.NewRecordServiceClient(conn)
		return nil
	}); err != nil {
		return err
	}
	count, begun := f.number("records"), time.Now()
	stream, err := client.PublishStream(ctx)
	if err != nil {
		return err
	}
	go func() { // An error of Send is told by Recv.
		for n := int64(0); n < count; n += published {
			request := &pb.PublishRequest{Topic: f["topic"]}
			for id := n; id < min(n+published, count); id++ {
				r, timeMs := record(f["name"], id), firstMs+id
				request.Records = append(request.Records, &pb.PublishRecord{Id: uint64(id), Key: r.Key,
					Value: r.Value, Headers: r.Headers, TimestampMs: &timeMs})
			}
			if stream.Send(request) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	var done int64
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		for _, result := range response.Results {
			if result.Error != nil {
				return refusal{result.Error}
			}
		}
		done += int64(len(response.Results))
		say(object{"stored": done})
	}
	publishing := time.Since(begun).Seconds()
	begun = time.Now()
	subscription, err := client.Subscribe(ctx, &pb.SubscribeRequest{Topic: f["topic"],
		Start: pb.OffsetSpec_OFFSET_SPEC_EARLIEST, UntilEnd: true})
	if err != nil {
		return err
	}
	var seen int64
	for {
		response, err := subscription.Recv()
		if err == io.EOF {
			break
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
		seen += int64(len(records))
	}
	say(object{"result": "plain", "records": done, "read": seen,
		"publish_per_second":   float64(done) / publishing,
		"subscribe_per_second": float64(seen) / time.Since(begun).Seconds()})
	return nil
}

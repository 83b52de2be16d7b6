package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "streamlog.example/client/streamlogv1"
)

const (
	patience    = 60 * time.Second
	callTimeout = 10 * time.Second
)

// refusal is an error that came inside a stream or an answer.
type refusal struct{ told *pb.Error }

func (r refusal) Error() string { return r.told.Reason + ": " + r.told.Message }

// reasonOf is the stable name of an error; of a call that was cut, its status code.
func reasonOf(err error) string {
	var refused refusal
	if errors.As(err, &refused) {
		return refused.told.Reason
	}
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "streamlog" {
			return info.Reason
		}
	}
	return status.Code(err).String()
}

// retriable: the same may succeed later, perhaps at another node.
func retriable(err error) bool {
	var refused refusal
	if errors.As(err, &refused) && refused.told.Retriable || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch reasonOf(err) {
	// A topic that was just made is not known everywhere yet; replicas need nodes that registered.
	case "UNKNOWN_TOPIC", "UNKNOWN_PARTITION", "INVALID_REPLICATION_FACTOR":
		return true
	}
	told, ok := status.FromError(err)
	if ok && len(told.Details()) == 0 {
		return true // The call was cut.
	}
	switch told.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return true
	}
	return false
}

// patiently repeats what fails until it succeeds, can not succeed, or failed for too long. Work says
// how far it came by calling its argument.
func patiently(ctx context.Context, work func(ctx context.Context, progress func()) error) error {
	first := 50 * time.Millisecond
	pause, since := first, time.Now()
	for {
		begun := time.Now()
		err := work(ctx, func() { pause, since = first, time.Now() })
		if time.Since(begun) > callTimeout { // It worked for a while, though nothing may have come.
			pause, since = first, time.Now()
		}
		if err == nil || ctx.Err() != nil || !retriable(err) || time.Since(since) > patience {
			return err
		}
		time.Sleep(time.Duration(float64(pause) * (0.75 + rand.Float64()/2)))
		pause = min(2*pause, time.Second)
	}
}

// cluster knows nodes by their addresses, and connects to each once.
type cluster struct {
	mu        sync.Mutex
	addresses []string
	next      int
	id        string
	open      map[string]*grpc.ClientConn
}

// node connects and shakes hands: another cluster may have come back at an address.
func (c *cluster) node(ctx context.Context, address string) (*grpc.ClientConn, error) {
	conn, err := c.connection(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	hello, err := pb.NewLogServiceClient(conn).Handshake(ctx, &pb.HandshakeRequest{
		MinProtocolVersion: 1, MaxProtocolVersion: 1,
		ClientSoftware: "streamlog-example-go/1", Features: []string{"idempotence"}})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == "" {
		c.id = hello.ClusterId
	} else if c.id != hello.ClusterId {
		return nil, fmt.Errorf("%s belongs to cluster %s, not to %s", address, hello.ClusterId, c.id)
	}
	return conn, nil
}

func (c *cluster) connection(address string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.open[address]
	if conn == nil {
		var err error
		conn, err = grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
			grpc.WithStatsHandler(received{}),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(65<<20)),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{
				Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}),
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
				Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2,
					Jitter: 0.2, MaxDelay: time.Second}}))
		if err != nil {
			return nil, err
		}
		c.open[address] = conn
	}
	return conn, nil
}

// any calls one node after the other until one answers.
func (c *cluster) any(ctx context.Context, call func(context.Context, *grpc.ClientConn) error) error {
	return patiently(ctx, func(ctx context.Context, _ func()) error {
		c.mu.Lock()
		address := c.addresses[c.next%len(c.addresses)]
		c.next++
		c.mu.Unlock()
		conn, err := c.node(ctx, address)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		return call(ctx, conn)
	})
}

// topic asks for metadata.
func (c *cluster) topic(ctx context.Context, name string) (*pb.TopicMetadata, map[uint32]string, error) {
	var topic *pb.TopicMetadata
	addresses := map[uint32]string{}
	err := c.any(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		answer, err := pb.NewLogServiceClient(conn).GetMetadata(ctx,
			&pb.GetMetadataRequest{Topics: []string{name}})
		if err != nil {
			return err
		}
		if topic = answer.Topics[0]; topic.Error != nil {
			return refusal{topic.Error}
		}
		for _, node := range answer.Nodes {
			addresses[node.NodeId] = node.Address
		}
		return nil
	})
	return topic, addresses, err
}

// leader is a client of the node that leads a partition, as far as any node knows.
func (c *cluster) leader(ctx context.Context, topic string, partition uint32) (
	pb.LogServiceClient, uint64, error) {
	metadata, addresses, err := c.topic(ctx, topic)
	if err != nil {
		return nil, 0, err
	}
	if int(partition) >= len(metadata.Partitions) {
		return nil, 0, refusal{&pb.Error{Reason: "UNKNOWN_PARTITION"}}
	}
	address, ok := addresses[metadata.Partitions[partition].LeaderNodeId]
	if !ok {
		return nil, 0, refusal{&pb.Error{Reason: "LEADER_NOT_AVAILABLE", Retriable: true}}
	}
	conn, err := c.node(ctx, address)
	return pb.NewLogServiceClient(conn), metadata.TopicId, err
}

// createTopic does nothing if it is there.
func (c *cluster) createTopic(ctx context.Context, name string, partitions uint32) error {
	return c.any(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAdminServiceClient(conn).CreateTopic(ctx,
			&pb.CreateTopicRequest{Name: name, PartitionCount: partitions, ReplicationFactor: 3})
		if reasonOf(err) == "TOPIC_EXISTS" {
			return nil
		}
		return err
	})
}

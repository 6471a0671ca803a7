package extauthz_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

// The protocol of Envoy's active health checks and of Kubernetes' gRPC probes.
func TestHealth(t *testing.T) {
	t.Parallel()
	url, _ := testenv.Redis(t)
	client := healthv1.NewHealthClient(newWorld(t, url, "own").conn)
	for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
		got, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, got, err)
		}
	}
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "x"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service: %v", err)
	}
	watch, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("watch: %v", err)
	}
}

package app

import (
	"regexp"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sessiongate/sessiongate/internal/testenv"
)

var envoyAddr = regexp.MustCompile(`msg="listening for Envoy" addr=(\S+)`)

// Envoy's port comes and goes with the gateway.
func TestEnvoy(t *testing.T) {
	t.Parallel()
	url, _ := testenv.Redis(t)
	cfg := testConfig(url, testenv.Postgres(t))
	cfg.ForwardAuth.GRPCAddr = "127.0.0.1:0"
	r := start(t, cfg)
	addr := envoyAddr.FindStringSubmatch(r.log.String())
	if addr == nil {
		t.Fatalf("it does not say where it listens:\n%s", r.log)
	}
	conn, err := grpc.NewClient(addr[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	envoy := authv3.NewAuthorizationClient(conn)
	res, err := envoy.Check(t.Context(), &authv3.CheckRequest{})
	if err != nil || res.GetDeniedResponse().GetStatus().GetCode() != 401 {
		t.Errorf("%v, %v", res, err)
	}
	if _, metrics := r.get("/metrics"); !strings.Contains(metrics, `sessiongate_ext_authz_checks_total{code="401"} 1`) {
		t.Error("the question is not counted")
	}
	if err := r.stopped(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := envoy.Check(t.Context(), &authv3.CheckRequest{}); err == nil {
		t.Error("it still answers")
	}
}

package extauthz

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/sessiongate/sessiongate/handlers"
	"github.com/sessiongate/sessiongate/internal/problem"
)

// refuse returns what Envoy is to answer in our place.
func (a *authorization) refuse(ctx context.Context, h headers, err error) *authv3.CheckResponse {
	answer := problem.Describe(err, "")
	if a.login != nil && handlers.IsUnauthenticated(err) {
		if to := a.login.Location(h.navigation()); to != "" {
			answer = problem.Answer{
				Status: http.StatusFound,
				Header: http.Header{"Location": {to}, "Cache-Control": {"no-store"}},
			}
		}
	}
	if answer.Status >= http.StatusInternalServerError {
		a.log.WarnContext(ctx, "Envoy's question could not be answered", "status", answer.Status, "err", err)
	}
	a.checks.WithLabelValues(strconv.Itoa(answer.Status)).Inc()
	denied := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(answer.Status)}, // they are the same numbers
		Body:   string(answer.Body),
	}
	for name, values := range answer.Header {
		denied.Headers = append(denied.Headers, overwrite(strings.ToLower(name), values[0]))
	}
	slices.SortFunc(denied.Headers, func(x, y *corev3.HeaderValueOption) int {
		return strings.Compare(x.GetHeader().GetKey(), y.GetHeader().GetKey())
	})
	return &authv3.CheckResponse{
		Status:       statusOf(codeOf(answer.Status)),
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied},
	}
}

// codeOf returns the word of gRPC for a refusal. Envoy looks only at whether it is
// OK.
func codeOf(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusUnauthorized, http.StatusFound:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return codes.Internal
}

func statusOf(code codes.Code) *rpcstatus.Status { return &rpcstatus.Status{Code: int32(code)} }

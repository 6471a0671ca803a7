# A static binary in an image with nothing else: no shell, no package manager, no
# root. Settings come from the environment (config.yaml says which):
#
#   docker build -t sessiongate .
#   docker run --read-only -p 8080:8080 --env-file sessiongate.env sessiongate
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /sessiongate .

# Brings certificates, time zones and /etc/passwd with nonroot (65532).
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /sessiongate /sessiongate
# In a container 127.0.0.1 is the container.
ENV SESSIONGATE_HTTP_ADDR=:8080
EXPOSE 8080
USER nonroot:nonroot
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/sessiongate", "doctor", "--live"]
ENTRYPOINT ["/sessiongate"]
CMD ["serve"]

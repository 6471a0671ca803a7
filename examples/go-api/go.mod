module github.com/sessiongate/sessiongate/examples/go-api

go 1.25.0

require github.com/sessiongate/sessiongate/clients/go v0.0.0

replace github.com/sessiongate/sessiongate/clients/go => ../../clients/go

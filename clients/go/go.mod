module github.com/sessiongate/sessiongate/clients/go

go 1.24

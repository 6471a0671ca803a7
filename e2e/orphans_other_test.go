//go:build !linux

package e2e

import "testing"

// killDev does nothing: only Linux ends the servers of a gateway that is killed.
// Elsewhere the next start in the directory does, which devstack tests.
func killDev(*testing.T, *dev, string) {}

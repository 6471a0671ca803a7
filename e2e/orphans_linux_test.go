package e2e

import "testing"

// killDev: a development gateway that is killed takes its servers with it, and
// the next one goes on with the data.
func killDev(t *testing.T, d *dev, token string) {
	t.Helper()
	children := d.servers(t)
	d.kill(t)
	gone(t, children)
	again := startDev(t, d.dir)
	again.alive(t, token)
	again.stop(t)
}

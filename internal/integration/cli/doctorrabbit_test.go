package cli

import (
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/portmq/mq/internal/integration/server"
)

// TestDoctorRabbitMQ: what AMQP shows of queues, and that mq create or mq drop
// helps.
func TestDoctorRabbitMQ(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.must("create", "well", "alone")
	d.must("send", "well", "1", "2", "3")
	d.remove("alone.archive")
	d.declare("classic", nil)
	d.declare("classic.archive", nil)
	d.declare("other", amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 7})
	d.declare("other.archive", amqp.Table{"x-queue-type": "quorum"})
	for _, tt := range []struct {
		queue, level, want string
		remedy             []string
	}{
		{"well", "ok", "declared as it should be; 3 messages ready, 0 in the archive", nil},
		{"missing", "problem", "there is no such queue (mq create missing makes it)", []string{"create missing"}},
		{"alone", "problem", "it has no archive, so that nothing can be archived and rejected messages are lost (mq create alone makes it)", []string{"create alone"}},
		{"classic", "problem", "declared with other arguments, which RabbitMQ does not change (drop it, or use it as it is)", []string{"drop -yes classic", "create classic"}},
		{"other", "problem", "declared with other arguments", []string{"drop -yes other", "create other"}},
	} {
		t.Run(tt.queue, func(t *testing.T) {
			d := d.of(t)
			fs := d.examine(tt.queue)
			if f := fs[len(fs)-1]; f.Where != tt.queue || f.Level != tt.level || !strings.Contains(f.Finding, tt.want) {
				t.Errorf("the doctor finds %+v", f)
			}
			for _, line := range tt.remedy {
				d.must(strings.Fields(line)...)
			}
			for _, f := range d.examine(tt.queue) {
				if f.Where == tt.queue && f.Level != "ok" {
					t.Errorf("afterwards the doctor finds %+v", f)
				}
			}
		})
	}
	if n := d.ready("well"); n != 3 {
		t.Errorf("%d messages are in the queue after the doctor was there", n)
	}
}

// TestDoctorBroker: what the doctor says of the broker itself. Whether that has
// an alarm is not known here: others use it, too.
func TestDoctorBroker(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	version, _ := d.conn.Properties["version"].(string)
	level, places := "ok", ""
	if strings.HasPrefix(version, "3.") {
		level = "advice"
	}
	for _, f := range d.examine() {
		places += f.Where + " "
		if f.Where == "version" && (f.Level != level || !strings.HasPrefix(f.Finding, "RabbitMQ "+version)) ||
			f.Where == "queues" && f.Level != "advice" {
			t.Errorf("the doctor finds %+v", f)
		}
	}
	d.must("create", "w")
	d.must("send", "w", "-delay", "1h", "1")
	if f := d.examine("w")[3]; f.Where != "delays" || f.Level != "ok" {
		t.Errorf("the doctor finds %+v", f)
	}
	if places != "connection version alarms delays queues " {
		t.Errorf("the doctor looks at %s", places)
	}
}

// TestDoctorAlarm is alone with its broker, which stops for all. What the doctor
// makes of a broker that does not answer has a test in cmd/mq, too.
func TestDoctorAlarm(t *testing.T) {
	if testing.Short() {
		t.Skip("the full matrix: make test-all")
	}
	t.Parallel()
	b := server.OwnRabbitMQ(t)
	d := newDepotOn(t, b)
	for _, tt := range []struct {
		watermark      []string
		level, finding string
	}{
		{[]string{"0.000001"}, "problem", "the broker takes no messages: "},
		{[]string{"absolute", "1GB"}, "ok", "the broker takes messages"},
	} {
		b.Ctl(t, append([]string{"set_vm_memory_high_watermark"}, tt.watermark...)...)
		d.eventually("the doctor says that "+tt.finding, func() bool {
			return slices.ContainsFunc(d.examine(), func(f finding) bool {
				return f.Where == "alarms" && f.Level == tt.level && strings.Contains(f.Finding, tt.finding)
			})
		})
	}
}

package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Authority issues certificates that nobody else trusts.
type Authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Certificate is one with its key, as DER and in files.
type Certificate struct {
	Cert, Key         []byte // DER; the key in the form of SEC 1
	CertFile, KeyFile string // PEM
}

// NewAuthority makes an authority for a test.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, key: newKey(tb)}
	ca := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, a.key.Public(), a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// DER returns the authority's own certificate, and File the name of a file with it.
func (a *Authority) DER() []byte { return a.cert.Raw }

// File returns the name of a file with the authority's own certificate.
func (a *Authority) File() string { return a.write("CERTIFICATE", a.cert.Raw) }

// Issue issues a certificate for servers and clients of a name, which has ended if ago is
// positive.
func (a *Authority) Issue(name string, ago time.Duration) *Certificate {
	a.tb.Helper()
	key, end := newKey(a.tb), time.Now().Add(24*time.Hour)
	if ago > 0 {
		end = time.Now().Add(-ago)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return &Certificate{der, private, a.write("CERTIFICATE", der), a.write("EC PRIVATE KEY", private)}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (a *Authority) write(kind string, der []byte) string {
	a.tb.Helper()
	path := filepath.Join(a.tb.TempDir(), strings.ReplaceAll(kind, " ", ""))
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.tb.Fatal(err)
	}
	return path
}

// WriteFile writes a file of a server of ours, which only the server can read. Its name
// begins in the directory of the data.
func (c *Cluster) WriteFile(tb testing.TB, name, text string) {
	tb.Helper()
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, quote(strings.TrimSuffix(line, "\n")))
	}
	c.Exec(tb, "COPY (SELECT unnest(ARRAY["+strings.Join(lines, ", ")+"])) TO PROGRAM "+quote("umask 077; cat >"+quote(name)))
}

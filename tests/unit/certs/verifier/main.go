// Command verifier judges certificate chains as the API server does, by Go's crypto/x509. It reads cases from standard
// input, one JSON document each, and writes for each one line: "trusted", or why the chain is refused.
package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"
)

type chain struct {
	Chain  string    `json:"chain"`  // PEM, the leaf first
	Bundle string    `json:"bundle"` // PEM, what the client trusts
	At     time.Time `json:"at"`
}

func main() {
	cases := json.NewDecoder(os.Stdin)
	for {
		var asked chain
		if err := cases.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if err := verify(asked); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("trusted")
		}
	}
}

// verify does what crypto/tls does with the certificates of a server, apart from the look at its name.
func verify(asked chain) error {
	var certificates []*x509.Certificate
	rest := []byte(asked.Chain)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		certificates = append(certificates, certificate)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: asked.At}
	options.Roots.AppendCertsFromPEM([]byte(asked.Bundle))
	for _, certificate := range certificates[1:] {
		options.Intermediates.AddCert(certificate)
	}
	_, err := certificates[0].Verify(options)
	return err
}

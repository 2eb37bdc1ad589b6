package mqui

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
)

//go:embed static/style.css
var style []byte

//go:embed static/mqui.js
var script []byte

// The names contain a hash, so that browsers may keep the files for ever.
var (
	styleName  = hashedName(style, ".css")
	scriptName = hashedName(script, ".js")
)

func hashedName(content []byte, ext string) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6]) + ext
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	content := map[string][]byte{styleName: style, scriptName: script}[r.PathValue("name")]
	if content == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	if strings.HasSuffix(r.URL.Path, ".js") {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	}
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	send(w, r, 0, content)
}

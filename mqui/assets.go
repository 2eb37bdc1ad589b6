package mqui

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
)

//go:embed static/style.css
var style []byte

//go:embed static/mqui.js
var script []byte

//go:embed static/icon.svg
var icon []byte

// The names contain a hash, so that browsers may keep the files for ever.
var (
	styleName  = hashedName(style, ".css")
	scriptName = hashedName(script, ".js")
	iconName   = hashedName(icon, ".svg")
)

func hashedName(content []byte, ext string) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6]) + ext
}

// assets are the files, and their types.
var assets = map[string]struct {
	content []byte
	kind    string
}{
	styleName:  {style, "text/css; charset=utf-8"},
	scriptName: {script, "text/javascript; charset=utf-8"},
	iconName:   {icon, "image/svg+xml"},
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	file, ok := assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", file.kind)
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	send(w, r, 0, file.content)
}

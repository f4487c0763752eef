# The targets that people need. `make help` lists them.

SHELL := /bin/bash
GO    ?= go
FUZZTIME ?= 10s
MINUTES ?= 10
ROOMS ?= 3
SEED ?= 0
ROW ?=
COLUMN ?=
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Stamping the commit fails where git refuses to read the checkout (another owner): then do without.
VCS     := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
# Without symbols for debuggers, a third of the file; profiles and stack traces name functions and lines all the same.
GOBUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(VCS) -ldflags='-s -w'

NPM_CI  := npm ci --no-audit --no-fund --loglevel=error
NODE    := $(shell command -v npm 2>/dev/null)
WEB_SRC := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -name '*.tgz' -not -name '*.go' 2>/dev/null)

.PHONY: help run build web conformance impair test test-all test-go test-web test-e2e lint fuzz soak netlab bench notices deps clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: build ## fetch, build and start everything on http://localhost:5000 (PORT overrides)
	@exec bin/skillsage

build: web ## build bin/skillsage, with the pages in it when Node.js is there
	$(GOBUILD) -o bin/skillsage ./cmd/skillsage

ifneq ($(NODE),)
web: web/app/dist/index.html web/player/dist/index.html ## build the room page, the player and the hook
else
web:
	@echo "npm is not installed: the server is built without its pages" >&2
endif

# One build makes both.
web/app/dist/index.html web/player/dist/index.html &: web/node_modules/.stamp $(WEB_SRC)
	cd web && npm run --silent build
	@touch web/app/dist/index.html web/player/dist/index.html

%/node_modules/.stamp: %/package-lock.json
	cd $* && $(NPM_CI)
	@touch $@

conformance: ## build bin/conformance, the fixture of the public protocol suites (-a HOST:PORT -b HOST:PORT)
	$(GOBUILD) -o bin/conformance ./cmd/conformance

impair: ## build bin/impair, a forwarder that makes a network bad (-target HOST:PORT, or -taps NAME,NAME)
	$(GOBUILD) -o bin/impair ./cmd/impair

test: deps build conformance impair web/node_modules/.stamp e2e/node_modules/.stamp ## prove every behaviour once
	@scripts/test lint go web e2e

test-all: deps build conformance impair web/node_modules/.stamp e2e/node_modules/.stamp ## the same with every pair of browser, client and mode
	@scripts/test lint go web e2e-all

test-go: ## Go tests with the race detector
	@scripts/test go

test-web: web/node_modules/.stamp ## tests of the hook, the room page and the player
	@scripts/test web

test-e2e: build conformance impair e2e/node_modules/.stamp ## browsers and stock clients against the server
	@scripts/test e2e

lint: web/node_modules/.stamp e2e/node_modules/.stamp ## gofmt, go vet, staticcheck, eslint
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	cd web && npm run --silent lint
	cd e2e && npm run --silent lint

fuzz: ## every fuzz test for FUZZTIME (10s)
	@GO=$(GO) scripts/fuzz $(FUZZTIME)

soak: ## interviews with people who come, go, share and lose packets, for MINUTES (10); SEED replays a run
	$(GO) test -count=1 -v -timeout $$(( $(MINUTES) + 10 ))m ./internal/soak -run '^TestSoak$$' -soak.time $(MINUTES)m -soak.rooms $(ROOMS) -soak.seed $(SEED)

netlab: deps build impair e2e/node_modules/.stamp ## calls through NATs, firewalls and proxies; ROW and COLUMN (regular expressions) choose some
	@cd e2e && netlab/enter node netlab/run.mjs --row '$(ROW)' --column '$(COLUMN)'

bench: build ## benchmarks of the Go packages; media beside a floor program; signaling beside a Node socket.io server
	$(GO) test -run '^$$' -bench . -benchmem ./...
	@scripts/bench-media
	@scripts/bench-signaling

notices: web/node_modules/.stamp ## write THIRD_PARTY_NOTICES.md anew
	$(GO) run ./scripts/notices > THIRD_PARTY_NOTICES.md.new
	mv THIRD_PARTY_NOTICES.md.new THIRD_PARTY_NOTICES.md

deps: ## install what the tests need (Debian packages), or say what is missing
	@scripts/install-deps

clean: ## remove what was built
	rm -rf bin web/app/dist/* web/player/dist/* web/hook/dist web/hook/*.tgz e2e/out .cache
	rm -rf web/node_modules web/*/node_modules e2e/node_modules

# reentry: one Makefile, no recursion into folders.  `make help` lists the targets.
#
#   BUILD=dir     where everything that is made goes          (default build/$(VARIANT))
#   VARIANT=name  release | debug | asan | tsan | coverage | fuzz   (flags, see below)
#   WERROR=1      warnings are errors; a folder once built so stays so, until `make clean`
#   CC=clang      gcc 12 and clang 14 both work
#   V=1           shows the commands
#   ONLY='lib'    of the archives only these have content: a test of lib builds while the rest does not
#   T=name        one test (or fuzz target) of those that the target runs

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
SHELL := /bin/sh

VERSION := 0.1
VARIANT ?= release
BUILD   ?= build/$(VARIANT)
# The default build leaves its programs at build/bin; every other folder has its own.
BIN     := $(if $(filter build/release,$(BUILD)),build/bin,$(BUILD)/bin)
ASAN_BUILD := $(if $(filter build/release,$(BUILD)),build/asan,$(BUILD)-asan)
PREFIX  ?= /usr/local
T       ?=
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(VARIANT)),clang,gcc)
endif
V       ?=
Q       := $(if $(V),,@)
PYTHON  ?= /usr/bin/python3
PKGS    := libzmq libprotobuf-c lmdb libconfig libsodium jansson libcrypto

# ---------------------------------------------------------------- flags

WARN := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wundef

-include $(BUILD)/strict.mk
ifeq ($(WERROR),1)
WARN += -Werror
endif

HARDEN_CC := -fPIE -fstack-protector-strong -fstack-clash-protection
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack

OPT_release  := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
OPT_debug    := -O0 -g3
OPT_asan     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan     := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_coverage := -O0 -g --coverage
OPT_fuzz     := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
                -fno-sanitize-recover=undefined
LD_asan      := -fsanitize=address,undefined
LD_tsan      := -fsanitize=thread
LD_coverage  := --coverage
LD_fuzz      := -fsanitize=address,undefined
ifeq ($(origin OPT_$(VARIANT)),undefined)
$(error VARIANT=$(VARIANT) is unknown: release, debug, asan, tsan, coverage or fuzz)
endif

PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PKGS) 2>/dev/null))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
CMOCKA     := -lcmocka

# The generated headers count as system headers: our warnings are for our code.
CPP     := -I. -isystem $(BUILD)/gen -D_GNU_SOURCE -DREENTRY_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
BASE    := -std=gnu17 -fno-common $(OPT_$(VARIANT)) $(HARDEN_CC) -pthread
CFLAGS_ALL := $(BASE) $(WARN) $(CPP) $(CFLAGS)
GEN_CFLAGS := $(BASE) -w $(CPP)
LDFLAGS_ALL := $(HARDEN_LD) $(LD_$(VARIANT)) -pthread $(LDFLAGS)

# ---------------------------------------------------------------- sources

PROTO      := $(wildcard proto/*.proto)
GEN_C      := $(PROTO:%.proto=$(BUILD)/gen/%.pb-c.c)
GEN_H      := $(GEN_C:.c=.h)
LIB_C      := $(wildcard lib/*.c)
RULES_C    := $(wildcard rules/*.c)
BROKER_C   := $(filter-out broker/main.c,$(wildcard broker/*.c))
AGENTS_C   := $(filter-out agents/main.c,$(wildcard agents/*.c agents/adapters/*.c))
CLI_C      := $(filter-out cli/main.c,$(wildcard cli/*.c))
MAIN_C     := $(wildcard broker/main.c agents/main.c cli/main.c)
UNIT_C     := $(wildcard tests/unit/test_*.c)
SUPPORT_C  := $(filter-out $(UNIT_C) tests/support/corpus_main.c,$(wildcard tests/unit/*.c tests/support/*.c))
FUZZ_C     := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_C    := $(wildcard tests/bench/bench_*.c)
BENCHSUP_C := $(filter-out $(BENCH_C),$(wildcard tests/bench/*.c))
SIM_C      := $(wildcard tests/sim/*.c)
SHIM_C     := $(wildcard tests/*/shim_*.c)
CRASH_C    := $(filter-out $(SHIM_C),$(wildcard tests/crash/*.c))
FAULTS_C   := $(filter-out $(SHIM_C),$(wildcard tests/faults/*.c))
NETWORK_C  := $(wildcard tests/network/*.c)
ONLY       ?= lib rules broker agents cli
RULES_C    := $(if $(filter rules,$(ONLY)),$(RULES_C))
BROKER_C   := $(if $(filter broker,$(ONLY)),$(BROKER_C))
AGENTS_C   := $(if $(filter agents,$(ONLY)),$(AGENTS_C))
CLI_C      := $(if $(filter cli,$(ONLY)),$(CLI_C))
ALL_C      := $(LIB_C) $(RULES_C) $(BROKER_C) $(AGENTS_C) $(CLI_C) $(MAIN_C) $(UNIT_C) $(SUPPORT_C) \
              $(FUZZ_C) $(BENCH_C) $(BENCHSUP_C) $(SIM_C) $(CRASH_C) $(FAULTS_C) $(NETWORK_C) $(wildcard tests/support/corpus_main.c)
OWN_FILES  := $(wildcard lib/*.[ch] rules/*.[ch] broker/*.[ch] agents/*.[ch] agents/adapters/*.[ch] cli/*.[ch] \
              tests/*/*.[ch])

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

PROGRAMS := $(if $(wildcard broker/main.c),$(BIN)/reentry-broker) \
            $(if $(wildcard agents/main.c),$(BIN)/reentry-agent) \
            $(if $(wildcard cli/main.c),$(BIN)/reentry)
AR_LIB := $(BUILD)/lib.a
AR_RULES := $(BUILD)/rules.a
AR_BROKER := $(BUILD)/broker.a
AR_AGENTS := $(BUILD)/agents.a
AR_CLI := $(BUILD)/cli.a
AR_SUPPORT := $(BUILD)/support.a
ARCHIVES := $(AR_BROKER) $(AR_AGENTS) $(AR_CLI) $(AR_RULES) $(AR_LIB)

UNIT_BIN  := $(UNIT_C:tests/unit/%.c=$(BUILD)/test/unit/%)
FUZZ_BIN  := $(FUZZ_C:tests/fuzz/fuzz_%.c=$(BUILD)/test/fuzz/%)
CORPUS_BIN := $(FUZZ_C:tests/fuzz/fuzz_%.c=$(BUILD)/test/corpus/%)
BENCH_BIN := $(BENCH_C:tests/bench/%.c=$(BUILD)/test/bench/%)
SIM_BIN   := $(if $(SIM_C),$(BUILD)/test/sim)
CRASH_BIN := $(if $(CRASH_C),$(BUILD)/test/crash)
FAULTS_BIN := $(if $(FAULTS_C),$(BUILD)/test/faults)
NETWORK_BIN := $(if $(NETWORK_C),$(BUILD)/test/network)
# A broker in which tests can plant faults ($REENTRY_FAULT): what knows of them is compiled once more, the rest is the same.
FAULTY_C  := $(if $(wildcard broker/main.c),$(shell grep -l REENTRY_FAULTS $(LIB_C) $(BROKER_C) /dev/null))
FAULTY_BIN := $(if $(FAULTY_C),$(BUILD)/test/reentry-broker-faults)
SHIM_SO   := $(foreach s,$(SHIM_C),$(BUILD)/test/$(notdir $(s:.c=.so)))
# Everything that the tests of this folder run, apart from the fuzz targets.
TEST_BIN  := $(UNIT_BIN) $(SIM_BIN) $(CRASH_BIN) $(FAULTS_BIN) $(NETWORK_BIN) $(SHIM_SO) $(FAULTY_BIN)

.PHONY: all tests help
all: $(ARCHIVES) $(PROGRAMS)
tests: all $(TEST_BIN)

help:
	@sed -n 's/^## //p' Makefile

# ---------------------------------------------------------------- how things are made

# One line of flags; everything depends on it, so a changed flag rebuilds and an unchanged one does not.
STAMP := $(BUILD)/flags
FLAGS_NOW := $(CC) | $(CFLAGS_ALL) | $(LDFLAGS_ALL) | $(PKG_LIBS)
NO_BUILD_GOALS := clean deps help format check quick demo asan coverage fuzz valgrind
ifneq ($(filter-out $(NO_BUILD_GOALS),$(or $(MAKECMDGOALS),all)),)
$(shell mkdir -p $(BUILD); printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' >$(BUILD)/flags.new; \
        cmp -s $(BUILD)/flags.new $(STAMP) || cp $(BUILD)/flags.new $(STAMP); rm -f $(BUILD)/flags.new)
# Likewise the list of sources: an archive is made anew when a file comes or goes.
$(shell echo '$(sort $(ALL_C))' >$(BUILD)/sources.new; \
        cmp -s $(BUILD)/sources.new $(BUILD)/sources || cp $(BUILD)/sources.new $(BUILD)/sources; rm -f $(BUILD)/sources.new)
$(if $(filter 1,$(WERROR)),$(shell echo 'WERROR := 1' >$(BUILD)/strict.mk))
endif

.PHONY: need-deps
need-deps:
	@command -v pkg-config >/dev/null && command -v protoc-c >/dev/null && command -v $(CC) >/dev/null && \
	 pkg-config --exists $(PKGS) || { echo "libraries are missing: run  make deps" >&2; exit 1; }

$(GEN_C) $(GEN_H) &: $(PROTO) | need-deps
	@mkdir -p $(BUILD)/gen
	$(Q)protoc-c -I. --c_out=$(BUILD)/gen $(PROTO)
	@touch $(GEN_C) $(GEN_H)

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c $(STAMP) | $(GEN_H)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GEN_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.c $(STAMP) $(GEN_H)
	@mkdir -p $(@D)
	@echo '  CC  $<'
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

define archive
$(1): $(2) $(BUILD)/sources | need-deps
	@mkdir -p $$(@D); rm -f $$@
	$$(Q)ar rcs $$@ $(2)
endef
GEN_O := $(GEN_C:$(BUILD)/gen/%.c=$(BUILD)/obj/gen/%.o)
$(eval $(call archive,$(AR_LIB),$(call obj,$(LIB_C)) $(GEN_O)))
$(eval $(call archive,$(AR_RULES),$(call obj,$(RULES_C))))
$(eval $(call archive,$(AR_BROKER),$(call obj,$(BROKER_C))))
$(eval $(call archive,$(AR_AGENTS),$(call obj,$(AGENTS_C))))
$(eval $(call archive,$(AR_CLI),$(call obj,$(CLI_C))))
$(eval $(call archive,$(AR_SUPPORT),$(call obj,$(SUPPORT_C))))

link = $(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group

$(BIN)/reentry-broker: $(call obj,broker/main.c) $(AR_BROKER) $(AR_RULES) $(AR_LIB)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(PKG_LIBS)
$(BIN)/reentry-agent: $(call obj,agents/main.c) $(AR_AGENTS) $(AR_RULES) $(AR_LIB)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(PKG_LIBS)
# The command carries the broker's core for `rehearse` and for offline work on a store.
$(BIN)/reentry: $(call obj,cli/main.c) $(AR_CLI) $(AR_BROKER) $(AR_RULES) $(AR_LIB)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(PKG_LIBS)

$(BUILD)/test/unit/%: $(BUILD)/obj/tests/unit/%.o $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(CMOCKA) $(PKG_LIBS)
$(BUILD)/test/bench/%: $(BUILD)/obj/tests/bench/%.o $(call obj,$(BENCHSUP_C)) $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(CMOCKA) $(PKG_LIBS) -lm
$(BUILD)/test/sim: $(call obj,$(SIM_C)) $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(CMOCKA) $(PKG_LIBS)
$(BUILD)/test/crash: $(call obj,$(CRASH_C)) $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(CMOCKA) $(PKG_LIBS)
$(BUILD)/test/faults: $(call obj,$(FAULTS_C)) $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(CMOCKA) $(PKG_LIBS)
$(BUILD)/test/network: $(call obj,$(NETWORK_C)) $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(CMOCKA) $(PKG_LIBS)
$(BUILD)/obj/faults/%.o: %.c $(STAMP) $(GEN_H)
	@mkdir -p $(@D)
	@echo '  CC  $< with faults'
	$(Q)$(CC) $(CFLAGS_ALL) -DREENTRY_FAULTS -MMD -MP -c -o $@ $<
$(BUILD)/test/reentry-broker-faults: $(call obj,broker/main.c) $(FAULTY_C:%.c=$(BUILD)/obj/faults/%.o) $(AR_BROKER) $(AR_RULES) $(AR_LIB)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(PKG_LIBS)
# The same fuzz target twice: with libFuzzer (clang), and with a main of ours that plays its corpus (any compiler).
$(BUILD)/test/fuzz/%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) -fsanitize=fuzzer $(CMOCKA) $(PKG_LIBS)
$(BUILD)/test/corpus/%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/support/corpus_main.o $(AR_SUPPORT) $(ARCHIVES)
	@mkdir -p $(@D); echo '  LD  $@'
	$(Q)$(link) $(CMOCKA) $(PKG_LIBS)

define shim
$(BUILD)/test/$(notdir $(1:.c=.so)): $(1) $$(STAMP)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) -std=gnu17 -O2 -g $$(WARN) -I. -D_GNU_SOURCE -fPIC -shared -o $$@ $$< -ldl -pthread
endef
$(foreach s,$(SHIM_C),$(eval $(call shim,$(s))))

.SECONDARY:
DEPFILES := $(patsubst %.o,%.d,$(call obj,$(ALL_C)) $(GEN_O) $(FAULTY_C:%.c=$(BUILD)/obj/faults/%.o))
-include $(wildcard $(DEPFILES))

# ---------------------------------------------------------------- targets for people

export T N SEED SECONDS
RUN = BUILD=$(abspath $(BUILD)) BIN=$(abspath $(BIN)) CC='$(CC)' PYTHON=$(PYTHON) tests/run
JOBS ?= $(shell nproc)
SUB = +@$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS))

.PHONY: deps demo unit quick check check-run quick-run asan asan-run valgrind fuzz fuzz-run corpus bench sim crash faults network \
        lint analyze format coverage coverage-run install clean

## make                   the three programs, in build/bin
## make deps              installs what is missing (apt)
deps:
	@.ci/deps

## make demo              a sentence of 24 days in about a minute
demo:
	@.ci/deps
	$(SUB) all
	@BIN=$(abspath $(BIN)) PYTHON=$(PYTHON) tests/demo/run

## make quick             lint, unit tests and scenarios: seconds
quick:
	$(SUB) WERROR=1 quick-run
quick-run: tests
	@$(RUN) lint unit scenarios

## make unit T=name       unit tests, or one of them
unit: $(if $(T),$(filter %/$(T) %/test_$(T),$(UNIT_BIN)),$(UNIT_BIN))
	@$(RUN) unit

## make check             everything; the last line is the sum of all suites
check:
	@.ci/deps
	$(SUB) WERROR=1 tests
	$(SUB) VARIANT=asan BUILD=$(ASAN_BUILD) WERROR=1 asan-build
	@ASAN_BUILD=$(abspath $(ASAN_BUILD)) $(RUN) all

## make asan              the quick tests and the fuzz corpora under AddressSanitizer and UBSan
asan:
	$(SUB) VARIANT=asan BUILD=$(ASAN_BUILD) asan-build
	@ASAN_BUILD=$(abspath $(ASAN_BUILD)) $(RUN) asan corpus
.PHONY: asan-build
asan-build: $(UNIT_BIN) $(CORPUS_BIN)

## make valgrind          the unit tests and the scenarios under valgrind
valgrind:
	$(SUB) tests
	@$(RUN) valgrind

## make fuzz T=name SECONDS=n   libFuzzer on one target (clang); without T on each in turn
fuzz:
	@.ci/deps fuzz
	$(SUB) VARIANT=fuzz BUILD=build/fuzz CC=clang fuzz-run
fuzz-run: $(FUZZ_BIN)
	@$(RUN) fuzz

## make bench             our figures beside the machine's own limits
bench: all $(BENCH_BIN)
	@$(RUN) bench

## make sim N=n SEED=s    random countries, invariants checked after each step
sim: all $(SIM_BIN)
	@$(RUN) sim

## make crash N=n J=j     kill -9 at random moments, with a ledger kept outside; j countries of 100 kills side by side
crash: all $(FAULTY_BIN)
	@$(RUN) crash

## make faults N=1 PART=i/n   the n-th system call fails: a sample, or all, or a part of all; full disks; without T and PART then everything of `make network`
faults: all $(FAULTS_BIN) $(SHIM_SO) $(FAULTY_BIN)
	@$(RUN) faults
	$(if $(T)$(PART),,@N=all $(RUN) network)

## make network N=n       n cut connections (all: at every byte), bad weather, crowds, slow peers
network: all $(NETWORK_BIN)
	@$(RUN) network

## make lint              layering, headers, banned calls, sizes
lint: $(GEN_H)
	@$(RUN) lint

## make analyze T=tool    gcc -fanalyzer, clang, clang-tidy, cppcheck: those that are installed
analyze: $(GEN_H)
	@BUILD=$(abspath $(BUILD)) tests/lint/analyze

## make format            clang-format over our sources
format:
	clang-format -i $(OWN_FILES)

## make coverage          lines covered by the unit tests, scenarios and end-to-end tests, per folder
coverage:
	$(SUB) VARIANT=coverage BUILD=build/coverage coverage-run
coverage-run: tests
	@find $(BUILD) -name '*.gcda' -delete
	-@$(RUN) unit scenarios e2e
	@$(PYTHON) tests/lint/coverage.py $(BUILD)

## make install           DESTDIR, PREFIX
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/reentry $(DESTDIR)$(PREFIX)/share/man/man1 \
	  $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/lib/systemd/system \
	  $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	cp -r config/example $(DESTDIR)$(PREFIX)/share/reentry/
	for u in config/systemd/*.service; do \
	  sed 's|@BINDIR@|$(PREFIX)/bin|g' $$u >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/} || exit 1; done
	install -m 644 config/sysusers.d/*.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 644 config/tmpfiles.d/*.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	for m in $(wildcard docs/man/*.[158]); do \
	  install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/ || exit 1; done

## make clean             removes build/
clean:
	rm -rf build compile_commands.json $(filter-out build/%,$(BUILD))

## make compile_commands.json   for clangd and clang-tidy
.PHONY: compile_commands.json
compile_commands.json: $(GEN_H)
	@COMMAND='$(subst ','\'',$(CC) $(CFLAGS_ALL) -c)' $(PYTHON) -c 'import json, os, sys; print(json.dumps( \
	  [{"directory": os.getcwd(), "file": f, "command": os.environ["COMMAND"] + " " + f} for f in sys.argv[1:]], indent=1))' \
	  $(ALL_C) >$@

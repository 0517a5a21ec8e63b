# Picket. Targets: all check run bench lint fmt install clean deps hooks compile_commands.json; see README.md and CONTRIBUTING.md.
# Variables: MODE=release|debug|asan|fuzz  V=1  WERROR=1  DESTDIR= PREFIX=

MODE ?= release
PREFIX ?= /usr
LIBEXECDIR ?= $(PREFIX)/libexec/picket
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/picket
SYSCONFDIR ?= /etc
CC = gcc
PROTOC ?= protoc-c
PKG_CONFIG ?= pkg-config
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

DAEMONS := agentd collectord uplinkd isolatord
PROGRAMS := $(DAEMONS) picketctl picket-server
# Folder of a program's sources.
folder = $(if $(filter picket-server,$1),server,$1)

OUT := build/$(MODE)
BIN := $(if $(filter release,$(MODE)),build/bin,$(OUT)/bin)
GEN := build/gen
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$1' '$2')

# ---- flags ----
WARN := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
CPPFLAGS += -I. -I$(GEN) -I$(GEN)/proto -D_GNU_SOURCE -DPICKET_VERSION='"$(VERSION)"' -MMD -MP
CFLAGS.release := -O2 -g -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
CPPFLAGS.release := -D_FORTIFY_SOURCE=3
LDFLAGS.release := -pie -Wl,-z,relro,-z,now
CFLAGS.debug := -O0 -g3
CPPFLAGS.debug := -DPICKET_DEBUG
CFLAGS.asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
CPPFLAGS.asan := -DPICKET_DEBUG
LDFLAGS.asan := -fsanitize=address,undefined
CFLAGS.fuzz := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link
CPPFLAGS.fuzz := -DPICKET_DEBUG
LDFLAGS.fuzz := -fsanitize=address,undefined
ifeq ($(MODE),fuzz)
CC = clang
endif
ALL_CFLAGS = -std=c11 $(WARN) $(CFLAGS.$(MODE)) $(CPPFLAGS) $(CPPFLAGS.$(MODE)) $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS.$(MODE)) -Wl,--as-needed $(LDFLAGS)

# ---- libraries: what each folder needs; isolatord links no OpenSSL (libiptc is GPL-2 only) ----
PKGS.common := libprotobuf-c libevent_core inih libseccomp
PKGS.agentd :=
PKGS.collectord := audit
PKGS.uplinkd := libcurl openssl libzstd
PKGS.isolatord := libiptc
PKGS.picketctl := jansson
PKGS.server := libevent_extra libevent_openssl libevent_pthreads openssl sqlite3 libzstd jansson
PKGS := $(sort $(foreach f,common agentd collectord uplinkd isolatord picketctl server,$(PKGS.$f)))
libs = $(shell $(PKG_CONFIG) --libs $(PKGS.common) $(PKGS.$1))
ifneq ($(filter-out deps clean fmt hooks,$(or $(MAKECMDGOALS),all)),)
MISSING := $(shell command -v $(PROTOC) >/dev/null || echo protobuf-c-compiler; command -v $(PKG_CONFIG) >/dev/null || echo pkg-config; \
	for p in $(PKGS); do $(PKG_CONFIG) --exists $$p 2>/dev/null || echo $$p; done)
endif

# ---- sources ----
PROTO := $(wildcard proto/*.proto)
PROTO_C := $(PROTO:%.proto=$(GEN)/%.pb-c.c)
PROTO_O := $(PROTO:%.proto=$(OUT)/%.pb-c.o)
obj = $(patsubst %.c,$(OUT)/%.o,$(wildcard $1/*.c))
# An archive: a program gets only what it uses of common/ and of the messages.
COMMON := $(OUT)/libcommon.a
UNIT_C := $(wildcard tests/unit/test_*.c)
UNIT := $(UNIT_C:tests/unit/%.c=$(OUT)/unit/%)
# test_<folder>_<topic>.c links that folder's objects but main.o.
unit_folder = $(word 2,$(subst _, ,$(notdir $1)))
C_FILES = $(shell git ls-files '*.c' '*.h')

.PHONY: all check run bench lint fmt install clean deps hooks unit distcheck
.DELETE_ON_ERROR:
.SECONDARY:
all: $(PROGRAMS:%=$(BIN)/%)

ifneq ($(strip $(MISSING)),)
$(PROTO_C): missing
.PHONY: missing
missing:
	@echo "picket: cannot build, missing: $(MISSING). Install with: make deps (as root)" >&2; exit 1
endif

define program_rule
$(BIN)/$1: $(call obj,$(call folder,$1)) $(COMMON)
	$$(call say,LD,$$@)
	$(Q)mkdir -p $$(@D)
	$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(call libs,$(call folder,$1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$p)))

$(OUT)/%.o: %.c | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(COMMON): $(call obj,common) $(PROTO_O)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

# Generated code is compiled without our warnings.
$(OUT)/proto/%.pb-c.o: $(GEN)/proto/%.pb-c.c | $(PROTO_C)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -w -c -o $@ $<

$(GEN)/proto/%.pb-c.c: proto/%.proto
	$(call say,PROTO,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(PROTOC) --proto_path=proto --c_out=$(GEN)/proto $<

# The version is in one object only.
$(OUT)/common/daemon.o $(OUT)/common/version.o: $(GEN)/version.stamp
$(GEN)/version.stamp: FORCE
	@mkdir -p $(@D); echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
.PHONY: FORCE

# ---- tests ----
define unit_rule
$(OUT)/unit/$1: $(OUT)/tests/unit/$1.o $(filter-out %/main.o,$(if $(filter common proto,$(call unit_folder,$1)),,$(call obj,$(call unit_folder,$1)))) $(COMMON)
	$$(call say,LD,$$@)
	$(Q)mkdir -p $$(@D)
	$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) $$(call libs,$(call unit_folder,$1)) $$(UNIT_LIBS.$1) -lcmocka
endef
$(foreach t,$(notdir $(UNIT)),$(eval $(call unit_rule,$t)))
UNIT_LIBS.test_collectord_auparse := -lauparse -laudit

unit: $(UNIT)
check:
	$(Q)packaging/deps check
	$(Q)$(MAKE) --no-print-directory all unit
	$(Q)$(MAKE) --no-print-directory MODE=asan unit
	$(Q)tests/run

bench: all
	$(Q)tests/bench/run

run: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)packaging/demo/run

deps:
	$(Q)packaging/deps

# ---- developer's tools ----
lint: compile_commands.json
	$(Q)tests/static/lint

fmt:
	$(Q)clang-format -i $(C_FILES)

hooks:
	git config core.hooksPath .githooks

# One entry per source file, with what the tools need of the flags above; debug code is looked at too.
compile_commands.json: $(PROTO_C) FORCE
	$(call say,GEN,$@)
	$(Q)tests/static/compile_commands.py $@ $(filter %.c,$(C_FILES)) -- $(CC) -std=c11 $(WARN) $(filter-out -MMD -MP,$(CPPFLAGS)) -DPICKET_DEBUG

# ---- install ----
install: all
	install -d $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(SYSCONFDIR)/picket/conf.d $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(DOCDIR)
	install -m 0755 $(DAEMONS:%=$(BIN)/%) $(BIN)/picket-server $(DESTDIR)$(LIBEXECDIR)
	install -m 0755 $(BIN)/picketctl $(DESTDIR)$(BINDIR)
	{ $(BIN)/agentd --sample-general; for d in $(DAEMONS) picket-server; do $(BIN)/$$d --sample; done; } > $(DESTDIR)$(SYSCONFDIR)/picket/picket.conf.sample
	[ -e $(DESTDIR)$(SYSCONFDIR)/picket/picket.conf ] || cp $(DESTDIR)$(SYSCONFDIR)/picket/picket.conf.sample $(DESTDIR)$(SYSCONFDIR)/picket/picket.conf
	for m in $(wildcard */*.1 */*.5 */*.8); do install -m 0644 $$m $(DESTDIR)$(MANDIR)/man$${m##*.}/; done
	install -m 0644 README.md CHANGELOG.md SECURITY.md LICENSE $(DESTDIR)$(DOCDIR)

clean:
	rm -rf build compile_commands.json

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

# SPDX-License-Identifier: LGPL-2.1-or-later
# A short way in; meson does the work. `make help` lists what there is.
BUILD ?= build
PREFIX ?= /usr/local
MESON_ARGS ?=

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup --prefix=$(PREFIX) $(MESON_ARGS) $(BUILD) > /dev/null

help:
	@sed -n 's/^#: //p' Makefile

#: make                build into ./build
#: make deps           install the Debian packages that building and the demo need (root only if one is missing)
#: make test           install what tests need beside these, build, then every test that ends in a few minutes
#: make test-full      the slow ones too
#: make test-asan      unit and integration tests under AddressSanitizer and UBSan
#: make test-valgrind  unit tests under valgrind
#: make coverage       how much of the source unit tests and fuzzers' inputs reach (KINDS="--unit --integration")
#: make fuzz           look for new inputs of the parsers, SECONDS=60 each (needs clang)
#: make demo           three virtual machines backed up, destroyed and brought back
#: make bench          measurements
#: make packages       kvss-guest for guests, as a Debian package and (with rpmbuild) as an RPM, in ./build/data
#: make install        into $(DESTDIR)$(PREFIX)
#: make clean          remove the build folders

deps:
	@tools/deps packages.txt tests/guest/packages.txt

test-deps: deps
	@tools/deps tests/packages.txt

test: test-deps
	@tests/run

test-full: test-deps
	@tests/run --full

test-asan: test-deps
	@tests/run --asan

test-valgrind: deps
	@tests/run --valgrind

coverage: test-deps
	@tools/deps tools/coverage-packages.txt
	@tools/coverage $(KINDS)

fuzz: deps
	@tests/fuzz/run --seconds $(or $(SECONDS),60)

demo: deps all
	@demo/run

bench: deps all
	@tools/deps bench/packages.txt
	@for run in bench/*/run; do $$run || exit 1; done

packages: deps all
	@ninja -C $(BUILD) data/kvss-guest.deb $$(command -v rpmbuild > /dev/null && echo data/kvss-guest.rpm)

install: all
	@meson configure -Dprefix=$(PREFIX) -Dfault_points=false -Dwerror=false $(BUILD)
	@meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-valgrind $(BUILD)-fuzz $(BUILD)-coverage

.PHONY: all help deps test-deps test test-full test-asan test-valgrind coverage fuzz demo bench packages install clean

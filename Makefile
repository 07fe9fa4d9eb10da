# fairsched: fair job claiming inside PostgreSQL.
#
#   make                 build against the PostgreSQL that pg_config belongs to
#   make install         put it into that PostgreSQL
#   make check           every test, on throw-away servers of its own; nothing is installed
#                        make check SUITES="regress tap" TESTS="test_claim 010_crash"
#   make unit            only the C unit tests (no server needed)
#   make demo            the main job on real files, then a flood, drawn in the terminal
#                        make demo FOLDER=/some/folder
#   make demo-preemption an urgent workspace arrives at a full fleet
#   make reference       writes docs/reference.md from the comments in the catalog
#   make bench           measures speed against the usual unfair query
#   make installcheck    the standard PGXS target: tests against an installed, running server
#
# Another PostgreSQL: make PG_CONFIG=/path/to/pg_config ...

PG_CONFIG ?= pg_config

# Targets of our own. PGXS has a `check` too, which only says that it is not supported; so when one
# of these is asked for, PGXS is left out and every other goal on the same command line ("make
# clean check") goes to a make of its own.
OWN_GOALS := check unit demo demo-preemption reference bench

.DEFAULT_GOAL := all

ifneq ($(filter $(OWN_GOALS),$(MAKECMDGOALS)),)

OTHER_GOALS := $(filter-out $(OWN_GOALS),$(MAKECMDGOALS))

.PHONY: $(OWN_GOALS) $(OTHER_GOALS)
.NOTPARALLEL:

export PG_CONFIG

check:
	@SUITES='$(SUITES)' TESTS='$(TESTS)' test/run

unit:
	@SUITES=unit TESTS='$(TESTS)' test/run

demo:
	@demo/run $(if $(FOLDER),'$(FOLDER)')

demo-preemption:
	@demo/preemption

reference:
	@test/server --fast -- sh -c 'psql -Xqc "CREATE EXTENSION fairsched" && \
		{ cat docs/reference.head.md && psql -Xq -v ON_ERROR_STOP=1 -f docs/reference.sql; } >docs/reference.new && mv docs/reference.new docs/reference.md'

bench:
	@if [ -x bench/run ]; then exec bench/run $(BENCH_ARGS); \
	 else echo 'make bench: there is no bench/run in this tree' >&2; exit 1; fi

$(OTHER_GOALS):
	@$(MAKE) --no-print-directory $@

else

EXTENSION   = fairsched
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" fairsched.control)
MODULE_big  = fairsched
PGFILEDESC  = "fairsched - fair job claiming"
OBJS       := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

# The install script is the parts, joined in the order of their names. Upgrade scripts, once there
# are any, are files in sql/ that are kept as they are.
DATA_built = sql/fairsched--$(EXTVERSION).sql
DATA      := $(filter-out $(DATA_built),$(sort $(wildcard sql/fairsched--*.sql)))

# Errors are errors; what is switched off is what PostgreSQL's own headers and idioms need.
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-declaration-after-statement

REGRESS   = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/test_*.sql)))
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
# The tests find the extension created in their database.
REGRESS_OPTS   = --load-extension=fairsched
ISOLATION_OPTS = --load-extension=fairsched --inputdir=test --outputdir=.
PROVE_TESTS = $(sort $(wildcard test/t/*.pl))
ifneq ($(PROVE_TESTS),)
TAP_TESTS = 1
endif

EXTRA_CLEAN = src/.built-with tmp_check output_iso

# Bitcode for the server's JIT would need clang and gains nothing here.
override with_llvm := no

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(wildcard $(PGXS)),)
$(error "$(PG_CONFIG) --pgxs" leads to no PGXS makefile: install the server's development package \
	(Debian: postgresql-server-dev-15) or give PG_CONFIG=/path/to/pg_config)
endif
include $(PGXS)

# The directory is a prerequisite so that a part that was removed is noticed as well.
$(DATA_built): sql/parts $(sort $(wildcard sql/parts/*.sql))
	cat $(filter %.sql,$^) > $@.tmp
	mv $@.tmp $@

# Objects follow every header, and the server and flags they were built for: without this a second
# make with another PG_CONFIG would quietly mix two servers' objects.
BUILT_WITH := $(VERSION) $(bindir) $(CC) $(CPPFLAGS) $(CFLAGS)
ifneq ($(strip $(BUILT_WITH)),$(strip $(shell cat src/.built-with 2>/dev/null)))
.PHONY: src/.built-with
endif
src/.built-with:
	@$(file >$@,$(BUILT_WITH)):

$(OBJS): $(wildcard src/*.h) src/.built-with

endif

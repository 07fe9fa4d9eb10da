# What test/server, test/run and demo/run share. Sourced, not run.

pg_config=${PG_CONFIG:-pg_config}

die() {
    echo "$(basename "$(dirname "$0")")/$(basename "$0"): $*" >&2
    exit 1
}

command -v "$pg_config" >/dev/null ||
    die "there is no \"$pg_config\": install the server's development package (Debian: postgresql-server-dev-15), or give PG_CONFIG=/path/to/pg_config"

# By its full path from here on: a temporary installation, which test/server puts first on the PATH,
# has a pg_config too, and that one speaks of itself.
pg_config=$(command -v "$pg_config")
case $pg_config in
    /*) ;;
    *) pg_config=$PWD/$pg_config ;;
esac
export PG_CONFIG=$pg_config

# Who runs servers and tests: the caller, except that root hands over to an unprivileged user.
server_user=
if [ "$(id -u)" -eq 0 ]; then
    for server_user in ${FAIRSCHED_RUN_AS:-postgres nobody}; do
        if id -u "$server_user" >/dev/null 2>&1; then break; fi
        server_user=
    done
    [ -n "$server_user" ] ||
        die "PostgreSQL refuses to run as root, and there is no user ${FAIRSCHED_RUN_AS:-postgres or nobody} to run it as"
fi

# as_server COMMAND...: run it as that user, below the work folder (the caller's own folder may be
# closed to the user).
as_server() {
    if [ -z "$server_user" ]; then
        "$@"
    else
        (cd "${work:-/}" && HOME=${work:-/} exec setpriv --reuid="$server_user" \
            --regid="$(id -g "$server_user")" --init-groups "$@")
    fi
}

give_to_server() {
    if [ -n "$server_user" ]; then chown -R "$server_user:" "$@"; fi
}

# make_work_dir NAME: sets $work to a new folder that the server's user can write to. TMPDIR may be
# private to root, so it is only used where that user gets through.
make_work_dir() {
    local base
    work=
    for base in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
        if [ -d "$base" ] && as_server test -x "$base" -a -w "$base"; then break; fi
        base=
    done
    [ -n "$base" ] || die "no temporary folder that ${server_user:-this user} can write to"
    work=$(mktemp -d "$base/fairsched-$1.XXXXXX")
    chmod 755 "$work"
    give_to_server "$work"
}

# clear_libpq_env: forget what the caller set for his own servers (PGHOST, PGOPTIONS, ...). Names
# with an underscore are not libpq's.
clear_libpq_env() {
    local name
    for name in "${!PG@}"; do
        case $name in
            PG_*) ;;
            *) unset "$name" ;;
        esac
    done
}

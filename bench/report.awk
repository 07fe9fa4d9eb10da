# The page: machine.tsv summary.tsv checks.tsv facts.tsv, in this order, to markdown.
BEGIN { FS = "\t" }
FNR == 1 { file++ }
file == 1 { m[$1] = $2; next }
file == 2 && FNR == 1 { for (i = 1; i <= NF; i++) col[$i] = i; next }
file == 2 {
    if (!($1 in seen)) { seen[$1] = 1; order[++nsc] = $1 }
    rows[$1] = rows[$1] $0 "\n"
    next
}
file == 3 && FNR > 1 { checks[++nck] = $0; count[$5]++ }
file == 3 { next }
file == 4 { if ($2 == "FAILED") failed = failed "- " $1 ": " $3 "\n"; else facts[$1] = facts[$1] "- " $2 ": " $3 "\n"
            if (!($1 in seen)) { seen[$1] = 1; order[++nsc] = $1 } }

function num(x,   s, r) {           # 12345.6 -> 12,346
    s = sprintf("%.0f", x); r = ""
    while (length(s) > 3) { r = "," substr(s, length(s) - 2) r; s = substr(s, 1, length(s) - 3) }
    return s r
}
function short(x) { return x == "" || x + 0 == 0 ? "" : x < 100 ? sprintf("%.1f", x) : num(x) }
function ms(us) { return us + 0 == 0 ? "" : us < 1000 ? sprintf("%.2f", us / 1000) : sprintf("%.1f", us / 1000) }

END {
    title["drain1"] = "Claim and complete one by one, 8 clients"
    title["drain100"] = "Claim and complete 100 a call, 8 clients"
    title["groups"] = "The same where tenants enqueue 20 jobs at a time"
    title["checkpoint"] = "Batch 100 right after a checkpoint (pages logged whole)"
    title["enqueue"] = "Enqueue, 8 clients"
    title["workspaces"] = "10, 1,000 and 100,000 workspaces"
    title["backlog"] = "Backlog of 10 thousand and of 1 million (enqueue + claim + complete; the backlog stays as it is)"
    title["backlog10m"] = "Backlog of 10 million"
    title["held"] = "Enqueue + claim + complete while another session keeps its snapshot"
    title["hot"] = "One tenant's flood before 1,000 small tenants"
    title["jain"] = "20 tenants of four weights, all with a backlog"
    title["limits"] = "Weights and ceilings on against off, batch 100"
    title["conn64"] = "64 connections, batch 1"
    title["own500"] = "500 workspaces with a table of their own, batch 100"
    title["wakeup"] = "Wake-up of an idle worker"
    title["shm"] = "Shared memory"
    title["memory"] = "Memory of one session"
    title["rebuild"] = "Restart with 1 million jobs, 5,000 of them running"
    title["rebuild10m"] = "Restart with 10 million jobs, 10,000 of them running"

    print "# Benchmarks\n"
    print "Written by `make bench`" (m["mode"] == "full" ? " in full mode: `make bench BENCH_ARGS=full`" : "") \
        ". Do not edit: what it means and how it is measured is in [bench/README.md](../../bench/README.md).\n"
    print "| | |\n|---|---|"
    print "| machine | " m["cores"] " cores, " m["processor"] ", " m["memory"] ", " m["kernel"] " |"
    print "| server | " m["postgres"] "; client on the same machine, over a unix socket |"
    printf "| settings |"
    n = split(m["settings"], s, " ")
    for (i = 1; i <= n; i++) printf " `%s`", s[i]
    print " |"
    print "| run | " m["mode"] " mode, " m["seconds"] " s, load before it " m["load"] ", on " m["when"] ", commit " m["commit"] " |"
    print "\n![speed against the baseline, held snapshot, cost of a claim](plot.svg)\n"
    if (failed != "") print "**Failed in this run:**\n\n" failed
    if (nck) {
        printf "## Targets\n\n%d reached, %d missed", count["reached"], count["missed"]
        if (count["not run in quick mode"]) printf ", %d not run in quick mode", count["not run in quick mode"]
        if (count["not measured"]) printf ", %d not measured", count["not measured"]
        print ". *Floor*: what the server itself costs for that, measured in the same run, interleaved; what is below it is out of reach.\n"
        print "| what | target | measured | floor | |\n|---|---|---|---|---|"
        for (i = 1; i <= nck; i++) {
            split(checks[i], c, "\t")
            print "| " c[1] " | " c[2] " | " c[3] " | " c[4] " | " (c[5] == "missed" ? "**missed**" : c[5]) " |"
        }
        print ""
    }
    print "Below: `ratio` is jobs/s against the baseline of the same scenario and row, from the same run, interleaved; CPU is that of"
    print "all the server's processes in µs a job, in brackets the part inside the claim call; `vacuum` is autovacuum's part of it;"
    print "WAL is all that was written meanwhile, autovacuum's too; latency in ms, p50 / p99 of a call. Rows named *floor* do not"
    print "serve jobs: they are what a part of it costs at least.\n"
    for (k = 1; k <= nsc; k++) {
        sc = order[k]
        print "## " (sc in title ? title[sc] : sc) "\n"
        if (rows[sc] != "") {
            enq = (sc == "enqueue")
            print "| | | jobs/s | ratio | CPU µs | vacuum | WAL bytes | " (enq ? "call ms" : "claim ms | completion ms") " |"
            print "|---|---|---|---|---|---|---|---|" (enq ? "" : "---|")
            n = split(rows[sc], r, "\n")
            for (i = 1; i < n; i++) {
                split(r[i], f, "\t")
                printf "| %s | %s | %s | %s | %s%s | %s | %s |", f[2], f[3], num(f[col["jobs_s"]]),
                    (f[col["speed_ratio"]] == "" || f[3] ~ /reading/ ? "" : sprintf("%.2f", f[col["speed_ratio"]])),
                    short(f[col["cpu_us"]]),
                    (f[col["claim_cpu_us"]] + 0 == 0 ? "" : " (" short(f[col["claim_cpu_us"]]) ")"),
                    short(f[col["vacuum_cpu_us"]]),
                    num(f[col["wal_bytes"]])
                if (enq) printf " %s / %s |\n", ms(f[col["enq_p50"]]), ms(f[col["enq_p99"]])
                else printf " %s / %s | %s |\n", ms(f[col["claim_p50"]]), ms(f[col["claim_p99"]]),
                    (f[col["done_p50"]] + 0 == 0 ? "" : ms(f[col["done_p50"]]) " / " ms(f[col["done_p99"]]))
            }
            print ""
        }
        if (facts[sc] != "") print facts[sc]
    }
}

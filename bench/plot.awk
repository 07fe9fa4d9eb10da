# The picture: summary.tsv series.tsv, in this order, to SVG. Three panels; colours follow the
# reader's light or dark setting.
BEGIN { FS = "\t"; W = 860; y = 0; body = "" }
FNR == 1 { file++ }
file == 1 && FNR == 1 { for (i = 1; i <= NF; i++) col[$i] = i; next }
file == 1 {
    k = $1 SUBSEP $2 SUBSEP $3
    speed[k] = $col["jobs_s"]; ratio[k] = $col["speed_ratio"]; cpu[k] = $col["cpu_us"]; claim[k] = $col["claim_cpu_us"]
    if (($1 == "drain1" || $1 == "drain100" || $1 == "enqueue") && $3 != "baseline" && $3 !~ /^floor/ && $2 !~ /paused/ &&
        $col["speed_ratio"] != "")
        bar[++nbar] = k
    if (($1 == "workspaces" || $1 ~ /^backlog/) && ($3 == "fairsched" || $3 == "floor: reading rows") && $2 !~ /one priority/) {
        split($2, v, ", batch ")
        line = $1 == "workspaces" ? "workspaces" : $3 != "fairsched" ? "reading rows alone" : \
            v[1] ~ /own/ ? "backlog, own tables" : "backlog"
        line = line ", batch " v[2]
        if (!(line in npt)) lines[++nline] = line
        npt[line]++
        px[line, npt[line]] = v[1]; py[line, npt[line]] = $col["claim_cpu_us"]
    }
    next
}
file == 2 { ser[$2, $3] = $4; if ($3 > tmax) tmax = $3; sys[$2] = 1 }

function add(s) { body = body s "\n" }
function esc(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); return s }
function text(x, yy, s, cls, anchor) {
    add(sprintf("<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">%s</text>", x, yy, cls, anchor ? anchor : "start", esc(s)))
}
function rule(x1, y1, x2, y2, cls) {
    add(sprintf("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>", x1, y1, x2, y2, cls))
}
function num(x,   s, r) {
    s = sprintf("%.0f", x); r = ""
    while (length(s) > 3) { r = "," substr(s, length(s) - 2) r; s = substr(s, 1, length(s) - 3) }
    return s r
}
function log10(x) { return log(x) / log(10) }

function bars(   i, p, top, step, x0, x1, max, v, label, t) {
    text(20, y + 30, "Jobs a second against the hand-written queue (1x)", "h")
    top = y + 50; step = 24; x0 = 300; x1 = W - 150; max = 1.2
    for (i = 1; i <= nbar; i++) if (ratio[bar[i]] > max) max = ratio[bar[i]]
    for (t = 0; t <= max; t += (max > 6 ? 2 : max > 2.5 ? 1 : 0.5)) {
        rule(x0 + (x1 - x0) * t / max, top - 6, x0 + (x1 - x0) * t / max, top + nbar * step, t == 1 ? "one" : "grid")
        text(x0 + (x1 - x0) * t / max, top + nbar * step + 14, t "x", "s", "middle")
    }
    for (i = 1; i <= nbar; i++) {
        split(bar[i], p, SUBSEP)
        v = ratio[bar[i]]
        label = (p[1] == "enqueue" ? "enqueue, " p[2] : p[2])
        sub(/^fairsched */, "", p[3])
        sub(/^baseline/, "hand-written,", p[3])
        if (p[3] != "") label = label ", " p[3]
        text(x0 - 8, top + (i - 1) * step + 13, label, "t", "end")
        add(sprintf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"15\" rx=\"2\" class=\"%s\"/>", x0, top + (i - 1) * step + 1,
            (x1 - x0) * v / max, bar[i] ~ /hand|baseline/ ? "b" : "f"))
        text(x0 + (x1 - x0) * v / max + 6, top + (i - 1) * step + 13, sprintf("%.2fx, %s/s", v, num(speed[bar[i]])), "t")
    }
    y = top + nbar * step + 30
}

function held(   s, i, x0, x1, y0, y1, lo, hi, pts, d, v) {
    text(20, y + 30, "Jobs a second while another session holds a snapshot (logarithmic)", "h")
    x0 = 80; x1 = W - 110; y0 = y + 50; y1 = y0 + 190; lo = 1e9; hi = 1
    for (i = 0; i < tmax; i++) for (s in sys) { v = ser[s, i]; if (v > hi) hi = v; if (v > 0 && v < lo) lo = v }
    lo = int(log10(lo)); hi = int(log10(hi) + 0.999)
    if (hi <= lo) hi = lo + 1
    for (d = lo; d <= hi; d++) {
        rule(x0, y1 - (y1 - y0) * (d - lo) / (hi - lo), x1, y1 - (y1 - y0) * (d - lo) / (hi - lo), "grid")
        text(x0 - 8, y1 - (y1 - y0) * (d - lo) / (hi - lo) + 4, num(10 ^ d), "s", "end")
    }
    for (i = 0; i <= tmax; i += (tmax > 30 ? 10 : 2)) text(x0 + (x1 - x0) * i / tmax, y1 + 16, i " s", "s", "middle")
    for (s in sys) {
        pts = ""
        for (i = 0; i < tmax; i++) if (ser[s, i] > 0) {
            v = y1 - (y1 - y0) * (log10(ser[s, i]) - lo) / (hi - lo)
            pts = pts sprintf("%.1f,%.1f ", x0 + (x1 - x0) * i / tmax, v)
        }
        add("<polyline points=\"" pts "\" class=\"" (s == "baseline" ? "lb" : "lf") "\"/>")
        text(x1 + 2, v + 4, s == "baseline" ? "hand-written" : s, "t")
    }
    y = y1 + 30
}

function cost(   i, j, l, x0, x1, y0, y1, ymax, t, pts, gx, gy, step, ends) {
    text(20, y + 30, "Server CPU of a claim, µs a job, by number of workspaces and by backlog", "h")
    x0 = 80; x1 = W - 190; y0 = y + 50; y1 = y0 + 190; ymax = 1
    for (i = 1; i <= nline; i++) for (j = 1; j <= npt[lines[i]]; j++) if (py[lines[i], j] > ymax) ymax = py[lines[i], j]
    step = 10 ^ int(log10(ymax) + 1e-9)
    if (ymax / step < 2) step /= 4; else if (ymax / step < 4) step /= 2
    for (t = 0; t <= ymax; t += step) {
        gy = y1 - (y1 - y0) * t / (ymax * 1.1)
        rule(x0, gy, x1, gy, "grid"); text(x0 - 8, gy + 4, t, "s", "end")
    }
    for (t = 1; t <= 7; t++) text(x0 + (x1 - x0) * (t - 1) / 6, y1 + 16, num(10 ^ t), "s", "middle")
    for (i = 1; i <= nline; i++) {
        l = lines[i]; pts = ""
        for (j = 1; j <= npt[l]; j++) {
            gx = x0 + (x1 - x0) * (log10(px[l, j]) - 1) / 6
            gy = y1 - (y1 - y0) * py[l, j] / (ymax * 1.1)
            pts = pts sprintf("%.1f,%.1f ", gx, gy)
            add(sprintf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" class=\"%s\"/>", gx, gy, l ~ /^work/ ? "f" : "b"))
        }
        add("<polyline points=\"" pts "\" class=\"" (l ~ /^work/ ? "lf" : "lb") "\"/>")
        text(x1 + 8, gy + (l ~ /^work/ ? -2 : 10), l, "t")
    }
    y = y1 + 30
}

END {
    if (nbar) bars()
    if (tmax) held()
    if (nline) cost()
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"system-ui, sans-serif\" role=\"img\">\n", W, y + 10
    print "<title>fairsched against the hand-written queue</title>"
    print "<style>"
    print ".bg{fill:#fff}.h{font-size:16px;font-weight:600;fill:#1f2328}.t{font-size:12.5px;fill:#1f2328}.s{font-size:11px;fill:#59636e}"
    print ".grid{stroke:#d8dee4;stroke-width:1}.one{stroke:#59636e;stroke-width:1.5;stroke-dasharray:4 3}"
    print ".f{fill:#1a7f64}.b{fill:#9a6700}.lf,.lb{fill:none;stroke-width:2.2}.lf{stroke:#1a7f64}.lb{stroke:#9a6700}"
    print "@media (prefers-color-scheme:dark){.bg{fill:#0d1117}.h,.t{fill:#e6edf3}.s{fill:#9198a1}.grid{stroke:#30363d}.one{stroke:#9198a1}"
    print ".f{fill:#3fb992}.b{fill:#d29922}.lf{stroke:#3fb992}.lb{stroke:#d29922}}"
    print "</style>"
    printf "<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n", W, y + 10
    printf "%s</svg>\n", body
}

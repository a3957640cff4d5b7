#!/bin/bash
# Runs the public lua-resty-* clients, as they are, inside a server.
#
#   run.sh BINARY FOLDER
#
# BINARY is the server to test. FOLDER holds checkouts of lua-resty-redis, lua-resty-memcached and
# lua-resty-http. redis-server and memcached have to be installed; they listen on this machine only and
# end with the script. Prints a table, and fails if any row does.
set -u
[ $# -eq 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
binary=$(readlink -f "$1")
checkouts=$(readlink -f "$2")
here=$(dirname "$(readlink -f "$0")")
for program in redis-server memcached curl; do
    command -v "$program" >/dev/null || { echo "$program is not installed" >&2; exit 2; }
done
for library in redis memcached http; do
    if [ ! -d "$checkouts/lua-resty-$library/lib/resty" ]; then
        echo "there is no lua-resty-$library in $checkouts" >&2
        exit 2
    fi
done

folder=$(mktemp -d)
programs=()
finish() {
    for program in "${programs[@]}"; do kill "$program" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$folder"
}
trap finish EXIT

# Three ports that nobody listens on now.
read -r http_port redis_port memcached_port < <(
    for ((port = 20000 + RANDOM % 20000, found = 0; found < 3; port++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
        printf '%s ' "$port"
        found=$((found + 1))
    done
    echo
)
mkdir "$folder/logs"
sed -e "s|@CHECKOUTS@|$checkouts|g; s|@HERE@|$here|g; s|@FOLDER@|$folder|g" \
    -e "s|@HTTP@|$http_port|g; s|@REDIS@|$redis_port|g; s|@MEMCACHED@|$memcached_port|g" \
    "$here/nginx.conf" >"$folder/nginx.conf"
cp "$here/cases.lua" "$folder/cases.lua"
{ [ "$(id -u)" -eq 0 ] && echo "user root;"; cat "$folder/nginx.conf"; } >"$folder/main.conf"

redis-server --bind 127.0.0.1 --port "$redis_port" --save "" --appendonly no --dir "$folder" \
    >"$folder/redis.log" 2>&1 &
programs+=($!)
memcached_user=()
[ "$(id -u)" -eq 0 ] && memcached_user=(-u root)
memcached "${memcached_user[@]}" -l 127.0.0.1 -p "$memcached_port" >"$folder/memcached.log" 2>&1 &
programs+=($!)
"$binary" -p "$folder/" -e logs/error.log -c main.conf >"$folder/ngx.log" 2>&1 &
programs+=($!)

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for port in "$http_port" "$redis_port" "$memcached_port"; do
    for ((i = 0; i < 100; i++)); do listens "$port" && break; sleep 0.05; done
    if ! listens "$port"; then
        echo "nothing listens on port $port" >&2
        cat "$folder"/*.log "$folder/logs/error.log" >&2 2>/dev/null
        exit 1
    fi
done

# What the server answers is one line per case: name, "ok" or what went wrong.
failed=0 rows=0
for library in redis memcached http; do
    answer=$(curl -sS -m 60 "http://127.0.0.1:$http_port/$library" 2>&1)
    if [ -z "$answer" ] || [ "${answer##*$'\n'}" != "end" ]; then
        answer="the answer	incomplete: ${answer:-nothing}"
    fi
    while IFS=$'\t' read -r name said; do
        [ "$name" = end ] && continue
        rows=$((rows + 1))
        [ "$said" = ok ] || failed=$((failed + 1))
        printf '%-10s %-42s %s\n' "$library" "$name" "$said"
    done <<<"$answer"
done
grep -E '\[(error|crit|alert|emerg)\]' "$folder/logs/error.log" >"$folder/errors"
if [ -s "$folder/errors" ]; then
    failed=$((failed + 1))
    echo "The error log says:"
    head -20 "$folder/errors"
fi
echo "$rows cases, $failed failed"
[ "$failed" -eq 0 ] && [ "$rows" -gt 0 ]

#!/usr/bin/env bash
# A guest with a database in its directory: written, read by a later run, never beside it, replayed by --seed.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
guest=$guests/sqlite_sdk.wasm
mkdir "$work/data"

runs 0 run --dir "$work/data::/" "$guest" write
[ "$(ls "$work/data")" = people.db ] || { fail 'more is left than the database:'; ls -a "$work/data"; }
for profile in dense guarded; do
    runs 0 run --profile "$profile" --dir "$work/data::/" "$guest" read
    output_is 'person 0
person 1
person 2
ages 63'
    runs 0 run --profile $profile "$guest" try
done

# A second time the table is there already, and what it has stays.
runs 1 run --dir "$work/data::/" "$guest" write
said 'CREATE TABLE'

# Without a directory there is none. A deterministic run has them too.
runs 1 run "$guest" shut
said "no directory of this process covers 'people.db'"
mkdir "$work/other"
runs 0 run --seed 3 --dir "$work/other::/" "$guest" write
runs 0 run --seed 3 --dir "$work/other::/" "$guest" read
printed 'ages 63'

# What is no database is an error, and no more.
head -c 8192 /dev/zero | tr '\0' 'x' >"$work/data/people.db"
runs 1 run --dir "$work/data::/" "$guest" read
said 'file is not a database'

finish

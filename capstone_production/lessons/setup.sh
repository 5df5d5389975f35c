# Source this file in `capstone_production` while `python3 noxfile.py stack` runs:
#
#     . lessons/setup.sh 127.0.0.1:8000      the address of the first replica
#
# It signs in a new user, so earlier exercises do not matter. It defines:
#
#     $ONE, $TWO                 the two replicas of the stack
#     $THREE                     the address of a third one, which `replica` starts
#     api PATH [OPTION …]        the user's request to $ONE, with options of curl;
#                                `SERVER=$TWO api PATH` sends it to another replica
#     field NAME                 a field of the JSON object in the input
#     replica [SETTING=VALUE …]  starts the third replica: the code of this directory, with your
#                                edits, on the stack's database and Redis
#     end_replica                stops it; its log is in try/replica.log
#     sql STATEMENTS             rows from PostgreSQL
#     redis WORD …               the answer of Redis to a command

. ../.nox/apps/capstone-py3.*/bin/activate
. ../.stack/.env # the secrets of the stack
mkdir -p try

FIRST=${1##*:}
ONE=http://127.0.0.1:$FIRST
TWO=http://127.0.0.1:$((FIRST + 1))
THREE=http://127.0.0.1:$((FIRST + 6))
DATABASE=postgres:$POSTGRES_PASSWORD@127.0.0.1:$((FIRST + 2))/postgres
REDIS=redis://:$REDIS_PASSWORD@127.0.0.1:$((FIRST + 3))/0
JSON='content-type: application/json'

field() { python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }

api() {
  local path=$1
  shift
  curl -s "${SERVER:-$ONE}$path" -H "Authorization: Bearer $TOKEN" "$@"
}

replica() {
  env ENVIRONMENT=production DATABASE_URL="postgresql+asyncpg://$DATABASE" REDIS_URL="$REDIS" \
    JWT_SECRET="$JWT_SECRET" MEDIA_DIR=../.stack/media "$@" \
    uvicorn app.main:app --port ${THREE##*:} --no-proxy-headers > try/replica.log 2>&1 &
  REPLICA=$!
  curl -s -o /dev/null --retry 60 --retry-delay 1 --retry-connrefused "$THREE/health/live"
}

end_replica() {
  kill $REPLICA
  wait $REPLICA || true # its status is the signal
}

sql() {
  python3 - "postgresql://$DATABASE" "$1" <<'END'
import asyncio, sys
import asyncpg

async def main(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    for part in statement.split(";"):
        for row in await connection.fetch(part):
            print(*row, sep=" | ")
    await connection.close()

asyncio.run(main(*sys.argv[1:]))
END
}

redis() {
  python3 - "$REDIS" "$@" <<'END'
import sys
from redis import Redis

url, *words = sys.argv[1:]
answer = Redis.from_url(url, decode_responses=True).execute_command(*words)
print(*(answer if isinstance(answer, list) else [answer]), sep="\n")
END
}

NAME=ada-$(date +%s)
curl -s -o /dev/null $ONE/auth/register -H "$JSON" -d "{\"username\": \"$NAME\", \"password\": \"correct horse\"}"
curl -s $ONE/auth/token -d "username=$NAME&password=correct horse" > try/tokens.json
TOKEN=$(field access_token < try/tokens.json)

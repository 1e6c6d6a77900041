#!/bin/sh
# Makes the role that Grafana reads the ledger with: it may read and nothing else, and for half a minute at most. The image
# of PostgreSQL runs this when its volume is new; run it again after changing the password, or where the volume is older:
#   docker compose exec postgres /docker-entrypoint-initdb.d/reader.sh
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set owner="$POSTGRES_USER" --set password="$JOULEGATE_READER_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
SELECT 'CREATE ROLE reader' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reader') \gexec
ALTER ROLE reader LOGIN PASSWORD :'password' CONNECTION LIMIT 10;
ALTER ROLE reader SET default_transaction_read_only = on;
ALTER ROLE reader SET statement_timeout = '30s';
GRANT USAGE ON SCHEMA public TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
-- Also what later releases will add.
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT ON TABLES TO reader;
SQL

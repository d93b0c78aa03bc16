-- Keys of the API. The key itself is nowhere: `hash` is its SHA-256, as hexadecimal digits.
CREATE TABLE api_keys (
    id text NOT NULL,
    name text NOT NULL,
    hash text NOT NULL UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (id)
);

-- Times are Unix milliseconds. Records of ceremonies are versioned Borsh, see src/ceremony/record.rs.

CREATE TABLE workspace (
    id            TEXT PRIMARY KEY NOT NULL,
    fingerprint   TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
);

CREATE TABLE api_users (
    id            TEXT PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    public_key    BLOB,                -- SubjectPublicKeyInfo DER; none: cannot call the API
    created_at_ms INTEGER NOT NULL
);

-- Request tokens that were taken: none is taken twice.
CREATE TABLE nonces (
    user          TEXT NOT NULL,
    nonce         TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (user, nonce)
) WITHOUT ROWID;
CREATE INDEX nonces_by_expiry ON nonces (expires_at_ms);

CREATE TABLE idempotency (
    user          TEXT NOT NULL,
    key           TEXT NOT NULL,
    request_hash  BLOB NOT NULL,
    status        INTEGER NOT NULL,
    body          BLOB NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (user, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at_ms);

CREATE TABLE pairing_tokens (
    jti           TEXT PRIMARY KEY NOT NULL,
    user          TEXT NOT NULL REFERENCES api_users (id),
    expires_at_ms INTEGER NOT NULL,
    used_by       BLOB                 -- the party that used it
);

CREATE TABLE cosigners (
    party         BLOB PRIMARY KEY NOT NULL,
    device_id     TEXT NOT NULL UNIQUE,
    instance      BLOB NOT NULL,
    role          TEXT NOT NULL,
    operators     TEXT NOT NULL,       -- JSON list of hex
    required      INTEGER NOT NULL,
    version       TEXT NOT NULL,
    measurements  TEXT NOT NULL,       -- JSON object of hex
    module_id     TEXT NOT NULL,
    development   INTEGER NOT NULL,    -- attested under a development root
    paired_at_ms  INTEGER NOT NULL,
    last_seen_ms  INTEGER
);

CREATE TABLE cosigner_users (
    user           TEXT PRIMARY KEY NOT NULL REFERENCES api_users (id),
    party          BLOB NOT NULL REFERENCES cosigners (party),
    status         TEXT NOT NULL,      -- WAITING_FOR_APPROVAL, COMPLETED
    auto_approve   INTEGER NOT NULL,
    require_intent INTEGER NOT NULL,
    paired_at_ms   INTEGER NOT NULL
);
CREATE INDEX cosigner_users_by_party ON cosigner_users (party);

-- Only hashes of tokens are kept.
CREATE TABLE refresh_tokens (
    hash          BLOB PRIMARY KEY NOT NULL,
    party         BLOB NOT NULL REFERENCES cosigners (party),
    jti           TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    used_at_ms    INTEGER
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_party ON refresh_tokens (party);

CREATE TABLE access_tokens (
    hash          BLOB PRIMARY KEY NOT NULL,
    party         BLOB NOT NULL REFERENCES cosigners (party),
    expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE signing_groups (
    id            BLOB PRIMARY KEY NOT NULL,
    name          TEXT,
    customer      BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    status        TEXT NOT NULL,
    record        BLOB NOT NULL
);

CREATE TABLE keys (
    id            BLOB PRIMARY KEY NOT NULL,
    signer        TEXT NOT NULL,
    coin_type     INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    status        TEXT NOT NULL,
    record        BLOB NOT NULL
);
CREATE INDEX keys_by_signer ON keys (signer, coin_type);

-- The key that new vault assets of a signer get.
CREATE TABLE signer_keys (
    signer        TEXT NOT NULL REFERENCES api_users (id),
    coin_type     INTEGER NOT NULL,
    key           BLOB NOT NULL,
    PRIMARY KEY (signer, coin_type)
) WITHOUT ROWID;

CREATE TABLE vault_accounts (
    id              INTEGER PRIMARY KEY NOT NULL,
    name            TEXT NOT NULL,
    signer          TEXT REFERENCES api_users (id),
    customer_ref_id TEXT,
    hidden          INTEGER NOT NULL,
    created_at_ms   INTEGER NOT NULL
);

CREATE TABLE vault_assets (
    vault_account INTEGER NOT NULL REFERENCES vault_accounts (id),
    asset         TEXT NOT NULL,
    key           BLOB NOT NULL,       -- for ever
    record        BLOB,                -- the last answer about the certificate
    address       TEXT,                -- once certified
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (vault_account, asset)
) WITHOUT ROWID;

CREATE TABLE transactions (
    id             BLOB PRIMARY KEY NOT NULL,
    external_tx_id TEXT UNIQUE,
    initiator      TEXT NOT NULL REFERENCES api_users (id),
    signer         TEXT NOT NULL,
    operation      TEXT NOT NULL,
    asset          TEXT NOT NULL,
    vault_account  INTEGER NOT NULL,
    status         TEXT NOT NULL,
    is_final       INTEGER NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    updated_at_ms  INTEGER NOT NULL,
    record         BLOB NOT NULL
);
CREATE INDEX transactions_by_creation ON transactions (created_at_ms);
CREATE INDEX transactions_open ON transactions (is_final) WHERE is_final = 0;

-- Append-only; each hash covers the one before.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY NOT NULL,
    at_ms    INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    detail   TEXT NOT NULL,
    hash     BLOB NOT NULL
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

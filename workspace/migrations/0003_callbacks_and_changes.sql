-- What co-signers say about themselves and their API users, and the key with which an API user approves changes.
ALTER TABLE cosigners ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE cosigner_users ADD COLUMN approval_key BLOB;
ALTER TABLE cosigner_users ADD COLUMN approval TEXT;         -- NONE, HANDLER, AUTO
ALTER TABLE cosigner_users ADD COLUMN approval_digest BLOB;
ALTER TABLE cosigner_users ADD COLUMN gone_at_ms INTEGER;    -- operators removed it

CREATE TABLE config_changes (
    id            BLOB PRIMARY KEY NOT NULL,
    kind          TEXT NOT NULL,
    subject       TEXT NOT NULL,       -- the API user or wallet that it is about
    signer        TEXT NOT NULL,
    requested_by  TEXT NOT NULL,
    status        TEXT NOT NULL,
    is_final      INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    decided_at_ms INTEGER,
    record        BLOB NOT NULL
);
CREATE INDEX config_changes_by_creation ON config_changes (created_at_ms, id);
CREATE INDEX config_changes_open ON config_changes (is_final) WHERE is_final = 0;
CREATE INDEX config_changes_by_subject ON config_changes (subject, kind);

CREATE TABLE unmanaged_wallets (
    id              TEXT PRIMARY KEY NOT NULL,
    name            TEXT NOT NULL,
    customer_ref_id TEXT,
    created_at_ms   INTEGER NOT NULL
);

CREATE TABLE unmanaged_addresses (
    wallet        TEXT NOT NULL REFERENCES unmanaged_wallets (id) ON DELETE CASCADE,
    asset         TEXT NOT NULL,
    address       TEXT NOT NULL,
    tag           TEXT,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (wallet, asset)
) WITHOUT ROWID;

-- The least nonce that a vault account's next transfer may have, and those from there on that transfers have.
CREATE TABLE evm_accounts (
    vault_account INTEGER NOT NULL REFERENCES vault_accounts (id),
    asset         TEXT NOT NULL,
    least_nonce   INTEGER NOT NULL,
    PRIMARY KEY (vault_account, asset)
) WITHOUT ROWID;

CREATE TABLE evm_nonces (
    vault_account INTEGER NOT NULL,
    asset         TEXT NOT NULL,
    nonce         INTEGER NOT NULL,
    held_by       BLOB,                -- the transaction without an Authorisation that may still give it back
    PRIMARY KEY (vault_account, asset, nonce)
) WITHOUT ROWID;
CREATE INDEX evm_nonces_by_transaction ON evm_nonces (held_by) WHERE held_by IS NOT NULL;

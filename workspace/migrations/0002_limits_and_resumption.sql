-- Requests of open transactions are limited in bytes, not only in number.
ALTER TABLE transactions ADD COLUMN request_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE transactions SET request_bytes = LENGTH(record) WHERE is_final = 0;
DROP INDEX transactions_open;
CREATE INDEX transactions_open ON transactions (is_final, request_bytes) WHERE is_final = 0;

-- Answers are encrypted under a key that is not in the database. Those of before are in the clear for a day.
ALTER TABLE idempotency ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;

-- Which pairing token a pairing came from, and whether its answer arrived: until then it may be asked for again.
ALTER TABLE cosigner_users ADD COLUMN jti TEXT;
ALTER TABLE cosigner_users ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1;

-- Keys are listed in pages.
CREATE INDEX keys_by_creation ON keys (created_at_ms, id);

"""A callback handler to start from: it verifies what a co-signer asks, decides by a policy, answers, and logs.

| module           | what it answers                                                    |
|------------------|--------------------------------------------------------------------|
| `protocol.py`    | Is this really my co-signer's question? How do I sign my answer?   |
| `question.py`    | What am I asked, and what of it may I decide on?                   |
| `policy.py`      | What do I approve? **Your own rules go here.**                     |
| `policy_file.py` | How is the policy file read?                                       |
| `answers.py`     | Was I asked this before?                                           |
| `server.py`      | How do these go together over HTTP?                                |
| `config.py`      | Flags and environment variables.                                   |
| `serving.py`     | HTTPS, limits, ready line, stop.                                   |
"""

__version__ = "0.1.0"

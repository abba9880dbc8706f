#!/bin/sh
# Runs before nginx starts: writes /tmp/server.conf, which is default.conf, with TLS if there are a certificate and its key.
set -eu
tls=/etc/nginx/tls

if [ ! -e $tls/certificate.pem ] && [ ! -e $tls/key.pem ]; then
  cp /etc/nginx/default.conf /tmp/server.conf
  exit
fi
for file in certificate.pem key.pem; do
  # Without this it would go on in plain HTTP, and nobody would notice.
  if [ ! -r $tls/$file ]; then
    echo "nginx/tls/$file is missing, or the user nginx ($(id -u)) may not read it. For TLS it takes certificate.pem and key.pem; see docs/operations.md." >&2
    exit 1
  fi
done
sed 's|listen 8080;|listen 8080 ssl; include /etc/nginx/tls.conf;|' /etc/nginx/default.conf >/tmp/server.conf

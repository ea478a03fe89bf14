# What the stack takes from a registry, made of Debian's packages for engines that can pull nothing. They are alike in all that
# deploy/docker relies on: names of programs, paths, directories, what starts, and what is *not* there.
FROM debian:bookworm-slim AS redis
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \
 && userdel redis && groupadd --gid 999 redis && useradd --uid 999 --gid 999 redis && install -d -o redis -g redis /data
WORKDIR /data
VOLUME /data
EXPOSE 6379
CMD ["redis-server"]

# The real one is an Alpine Linux: no bash, but busybox's wget. Its caddy is marked with a capability.
FROM debian:bookworm-slim AS caddy
RUN apt-get update && apt-get install -y --no-install-recommends caddy busybox libcap2-bin ca-certificates \
 && rm -rf /var/lib/apt/lists/* && ln -s /bin/busybox /usr/bin/wget && setcap cap_net_bind_service=+ep /usr/bin/caddy \
 && mkdir -p /config/caddy /data/caddy && chmod 1777 /config/caddy /data/caddy && rm /bin/bash
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
EXPOSE 80 443 2019
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]

FROM debian:bookworm-slim AS httpd
RUN apt-get update && apt-get install -y --no-install-recommends apache2 openssl ca-certificates && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /usr/local/apache2/bin /usr/local/apache2/conf /usr/local/apache2/logs \
 && ln -s /usr/lib/apache2/modules /usr/local/apache2/modules && ln -s /usr/sbin/apache2 /usr/local/apache2/bin/httpd
ENV HTTPD_PREFIX=/usr/local/apache2 PATH=/usr/local/apache2/bin:$PATH
WORKDIR /usr/local/apache2
STOPSIGNAL SIGWINCH
EXPOSE 80
CMD ["httpd", "-DFOREGROUND"]

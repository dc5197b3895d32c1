# The sidecar's image: one static binary on nothing, as a user that is nobody.
#
#   make image                                     friday
#   docker build --target fridayd -t fridayd .     the control plane
ARG GO_IMAGE=golang:1.26

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -tags grpcnotrace \
      -ldflags "-s -w -X github.com/fridaymesh/friday/cmd/internal/version.release=${VERSION}" \
      -o /out/ ./cmd/friday ./cmd/fridayd
# The folder for the last good configuration, or for the history, with the owner that will write it.
RUN mkdir -p /out/state && chown 65532:65532 /out/state

FROM scratch AS fridayd
COPY --from=build --chown=65532:65532 /out/state /var/lib/fridayd
COPY --from=build /out/fridayd /fridayd
USER 65532:65532
ENV FRIDAY_POLICIES=/etc/friday/policies FRIDAY_HISTORY=/var/lib/fridayd
VOLUME /var/lib/fridayd
EXPOSE 19010
ENTRYPOINT ["/fridayd"]

FROM scratch AS friday
COPY --from=build --chown=65532:65532 /out/state /var/lib/friday
COPY --from=build /out/friday /friday
USER 65532:65532
ENV FRIDAY_STATE_DIR=/var/lib/friday
VOLUME /var/lib/friday
EXPOSE 19080
ENTRYPOINT ["/friday"]
CMD ["proxy"]

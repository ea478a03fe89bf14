# Shell completions, and the Debian packages pipegate-server and pipegate-client: `cpack` in the build directory makes them.
# Each is for the release of Debian (or Ubuntu) that it was made on. (A build for tests alone has neither.)
if(PG_FUZZ OR PG_SANITIZE)
  return()
endif()
include(GNUInstallDirs)

# --- completions, made from --help

foreach(program pg-handler pg-broker pg-client)
  foreach(shell bash zsh fish)
    set(file ${CMAKE_BINARY_DIR}/completions/${program}.${shell})
    add_custom_command(OUTPUT ${file}
      COMMAND ${CMAKE_SOURCE_DIR}/deploy/completions/generate ${shell} $<TARGET_FILE:${program}> > ${file}.new
      COMMAND ${CMAKE_COMMAND} -E rename ${file}.new ${file}
      DEPENDS ${program} ${CMAKE_SOURCE_DIR}/deploy/completions/generate ${CMAKE_SOURCE_DIR}/deploy/completions/generate.awk
      VERBATIM)
    list(APPEND completions ${file})
  endforeach()
endforeach()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/completions)
add_custom_target(pg_completions ALL DEPENDS ${completions})

# --- what is in which package

set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

function(pg_package component)
  foreach(program ${ARGN})
    # (Their own directories install them, too: without a component, for `cmake --install`.)
    install(TARGETS ${program} RUNTIME COMPONENT ${component} EXCLUDE_FROM_ALL)
    set(made ${CMAKE_BINARY_DIR}/completions/${program})
    install(FILES ${made}.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${program}
      COMPONENT ${component})
    install(FILES ${made}.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME ${program}.fish
      COMPONENT ${component})
    # zsh of Debian looks into the one below /usr/local, and into the other for what packages bring.
    install(FILES ${made}.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _${program}
      COMPONENT by_hand)
    install(FILES ${made}.zsh DESTINATION /usr/share/zsh/vendor-completions RENAME _${program}
      COMPONENT ${component} EXCLUDE_FROM_ALL)
    install(CODE "
      if(NOT EXISTS \"${CMAKE_BINARY_DIR}/man/${program}.1\")
        message(FATAL_ERROR \"a package needs the man pages: install help2man, then `cmake -B build/release` and build again\")
      endif()
      set(directory \"\$ENV{DESTDIR}/usr/share/man/man1\")
      file(MAKE_DIRECTORY \"\${directory}\")
      execute_process(COMMAND gzip -9nc \"${CMAKE_BINARY_DIR}/man/${program}.1\"
        OUTPUT_FILE \"\${directory}/${program}.1.gz\" COMMAND_ERROR_IS_FATAL ANY)"
      COMPONENT ${component} EXCLUDE_FROM_ALL)
  endforeach()
  install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION /usr/share/doc/pipegate-${component} RENAME copyright
    COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md DESTINATION /usr/share/doc/pipegate-${component}
    COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()

pg_package(server pg-handler pg-broker)
pg_package(client pg-client)

set(units ${CMAKE_SOURCE_DIR}/deploy/systemd)
install(FILES ${units}/pipegate-handler.socket ${units}/pipegate-handler@.service ${units}/pipegate-broker.socket
  ${units}/pipegate-broker@.service DESTINATION /usr/lib/systemd/system COMPONENT server EXCLUDE_FROM_ALL)
install(FILES ${units}/pipegate-client@.service DESTINATION /usr/lib/systemd/user COMPONENT client EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/debian/tunnel.conf DESTINATION /usr/share/doc/pipegate-client/examples
  COMPONENT client EXCLUDE_FROM_ALL)

install(DIRECTORY ${CMAKE_SOURCE_DIR}/deploy/prometheus ${CMAKE_SOURCE_DIR}/deploy/grafana
  DESTINATION /usr/share/doc/pipegate-server/examples COMPONENT server EXCLUDE_FROM_ALL)

# /etc/pipegate: an administrator's changes outlive an upgrade (conffiles). The settings may hold Redis's password.
set(conffiles "")
foreach(file handler.conf broker.conf)
  install(FILES ${CMAKE_SOURCE_DIR}/deploy/debian/${file} DESTINATION /etc/pipegate PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ
    COMPONENT server EXCLUDE_FROM_ALL)
  string(APPEND conffiles "/etc/pipegate/${file}\n")
endforeach()
file(GLOB sites RELATIVE ${CMAKE_SOURCE_DIR}/deploy CONFIGURE_DEPENDS deploy/Caddyfile deploy/apache/*.conf deploy/nginx/*.conf
  deploy/lighttpd/*.conf)
foreach(file ${sites})
  cmake_path(GET file PARENT_PATH front)
  install(FILES ${CMAKE_SOURCE_DIR}/deploy/${file} DESTINATION /etc/pipegate/${front} COMPONENT server EXCLUDE_FROM_ALL)
  string(APPEND conffiles "/etc/pipegate/${file}\n")
endforeach()
file(WRITE ${CMAKE_BINARY_DIR}/debian/conffiles "${conffiles}")

# --- how the packages are made

cmake_host_system_information(RESULT system QUERY DISTRIB_ID)
cmake_host_system_information(RESULT system_version QUERY DISTRIB_VERSION_ID)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pipegate)
set(CPACK_PACKAGE_CONTACT "the PipeGate authors <pipegate@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})
set(CPACK_COMPONENTS_ALL server client)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
# So that an upgrade of the system has a newer one to go to.
set(CPACK_DEBIAN_PACKAGE_RELEASE 1~${system}${system_version})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_SERVER_DESCRIPTION "self-hosted tunnel that fits the web server you already run
The server's side of PipeGate, which makes a service on somebody's laptop
public under a URL of a web server: the FastCGI handler (pg-handler), the
broker that clients attach to (pg-broker), systemd units for any number of
both, and settings for Caddy, Apache, nginx and lighttpd.")
set(CPACK_DEBIAN_SERVER_PACKAGE_NAME pipegate-server)
set(CPACK_DEBIAN_SERVER_PACKAGE_SHLIBDEPS ON)
# libwebsockets loads its libuv plugin when the broker starts: no linker sees that.
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS "adduser, libwebsockets-evlib-uv")
# It may run on another machine.
set(CPACK_DEBIAN_SERVER_PACKAGE_RECOMMENDS "redis-server (>= 5:7)")
set(CPACK_DEBIAN_SERVER_PACKAGE_SUGGESTS "caddy | apache2 | nginx | lighttpd")
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/debian/conffiles
  ${CMAKE_SOURCE_DIR}/deploy/debian/server/postinst ${CMAKE_SOURCE_DIR}/deploy/debian/server/prerm
  ${CMAKE_SOURCE_DIR}/deploy/debian/server/postrm)

set(CPACK_DEBIAN_CLIENT_DESCRIPTION "makes a local service public through a PipeGate server
pg-client attaches a tunnel at a PipeGate server (package pipegate-server) and
passes its visitors' requests to a service on this machine.")
set(CPACK_DEBIAN_CLIENT_PACKAGE_NAME pipegate-client)
set(CPACK_DEBIAN_CLIENT_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_CLIENT_PACKAGE_RECOMMENDS ca-certificates)
include(CPack)

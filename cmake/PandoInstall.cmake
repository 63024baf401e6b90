# `make install` (DESTDIR, PREFIX) and `make package`.

if(TARGET pando)
  install(TARGETS pando RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # Man pages and completion, of the program's own table of commands.
  set(pando_share ${CMAKE_BINARY_DIR}/share)
  add_custom_command(OUTPUT ${pando_share}/man/man1/pando.1
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${pando_share}/man ${pando_share}/completion
    COMMAND ${CMAKE_COMMAND} -E make_directory ${pando_share}/man ${pando_share}/completion
    COMMAND pando man --folder ${pando_share}/man/man1
    COMMAND pando completion bash > ${pando_share}/completion/pando
    COMMAND pando completion zsh > ${pando_share}/completion/_pando
    COMMAND pando completion fish > ${pando_share}/completion/pando.fish
    DEPENDS pando VERBATIM
    COMMENT "Making man pages and completion")
  add_custom_target(pando_share ALL DEPENDS ${pando_share}/man/man1/pando.1)
  install(DIRECTORY ${pando_share}/man/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(FILES ${pando_share}/completion/pando
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${pando_share}/completion/_pando
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${pando_share}/completion/pando.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
install(DIRECTORY ${CMAKE_BINARY_DIR}/share/examples DESTINATION ${CMAKE_INSTALL_DATADIR}/pando
  FILES_MATCHING PATTERN "*.wasm" PATTERN "*.yaml")
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/examples)
  install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/pando
    FILES_MATCHING PATTERN "*.c" PATTERN "*.h" PATTERN "*.md")
endif()
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/sdk/c/include)
  install(DIRECTORY sdk/c/include/ DESTINATION ${CMAKE_INSTALL_DATADIR}/pando/sdk/c/include
    FILES_MATCHING PATTERN "*.h")
endif()
if(TARGET pando_shared)
  # One component, so that a program's build (and our test) can have it alone.
  install(TARGETS pando_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT client)
  install(FILES ${PANDO_CLIENT_ARCHIVE} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT client)
  install(FILES ${CMAKE_BINARY_DIR}/pando.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT client)
  install(DIRECTORY include/pando DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT client
    FILES_MATCHING PATTERN "*.h")
  install(DIRECTORY sdk/client DESTINATION ${CMAKE_INSTALL_DATADIR}/pando COMPONENT client
    FILES_MATCHING PATTERN "*.c")
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_PACKAGE_NAME pando)
set(CPACK_PACKAGE_VENDOR "The Pando authors")
set(CPACK_PACKAGE_CONTACT "The Pando authors <pando@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Supervised WebAssembly actors beside a linearizable store")
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/package)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)

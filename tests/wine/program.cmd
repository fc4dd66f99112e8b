@echo off
setlocal enableextensions disabledelayedexpansion
:name
set "id=PROGRAM-%RANDOM%%RANDOM%"
if exist "ASKED\%id%.*" goto name
>"ASKED\%id%.new" echo PROGRAM %*
move /y "ASKED\%id%.new" "ASKED\%id%.ask" >nul
set "turns=0"
:wait
if exist "ASKED\%id%.code" goto answered
set /a turns+=1
if %turns% gtr 300 ping -n 2 127.0.0.1 >nul
goto wait
:answered
if not exist "ASKED\%id%.out" goto code
"SAY" UNIX/%id%.out
:said
if not exist "ASKED\%id%.out.said" goto said
:code
for /f "usebackq" %%c in ("ASKED\%id%.code") do set "code=%%c"
exit /b %code%

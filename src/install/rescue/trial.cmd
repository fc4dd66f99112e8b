@echo off
rem wslk: tries a new kernel while no Linux runs that could see to it, and keeps it or goes back.
rem
rem   trial.cmd NNNN      state\trial.txt says what is tried; state\verdict.txt will say how it came out
rem
rem Shuts WSL down, starts the distribution with a deadline, compares "uname -r", runs the check. What fails is
rem taken back by rollback.cmd; until the verdict is written, the next logon would do that (RunOnce).
rem "--run" is this script itself in the background, for programs that may hang.
rem
rem Exit code: 0 blessed, 1 taken back, 2 not tried or not taken back, 3 somebody else ended the trial.
rem How it is written, and why: see rollback.cmd.
setlocal enableextensions disabledelayedexpansion
cd /d "%~dp0"
set "WSL_UTF8=1"
set wsl=wsl.exe
if defined WSLK_WSL set wsl=cmd /d /c %WSLK_WSL%
if not defined WSLK_TICK set "WSLK_TICK=2"
set "runonce=HKCU\Software\Microsoft\Windows\CurrentVersion\RunOnce"
chcp 65001 >nul 2>&1
call :read
if "%~1"=="--run" goto run
rem From here on rollback.cmd leaves the verdict, and the last word, to this script.
set "WSLK_TRIAL=1"
if not defined number goto no_trial
if not "%number%"=="%~1" goto no_trial
if not exist rollback.cmd goto no_trial
if not exist console\ mkdir console
del /q state\reason.txt state\saved.txt >nul 2>&1
if "%phase%"=="running" goto was_running
echo Trying kernel %release%. WSL stops now and starts again; leave this window open.
rem The "!" has Windows forget the entry only after it ran. The odd quotes keep "&" in the path between quotes.
reg add "%runonce%" /v "!wslk" /d "cmd.exe /d /c \"\"%~dp0rollback.cmd\" interrupted\"" /f >nul 2>&1
call :set_running
call .\rollback.cmd --stop
call :newest_panic
set "old_panic=%panic%"
call :boot new
if not exist state\trial.txt goto ended_elsewhere
if defined failed goto revert
call :judge_release
if defined failed goto revert
call :check
if not exist state\trial.txt goto ended_elsewhere
if defined failed goto revert

:bless
call :verdict blessed current
call .\rollback.cmd --settle
call :end_trial
echo Kernel %release% passed, and stays.
exit /b 0

:was_running
>state\reason.txt echo the trial was interrupted
call :newest_panic
set "old_panic=%panic%"

:revert
echo Kernel %release% failed: back to what worked.
call :restore good
if not defined restored goto not_restored
call .\rollback.cmd --stop
call :keep_words
set "to=stock"
if "%restored%"=="stock" goto reverted
call :boot good
if not exist state\trial.txt goto ended_elsewhere
set "to=previous"
if not defined failed goto reverted
call :restore stock
if not defined restored goto not_restored
set "to=stock"
call .\rollback.cmd --stop

:reverted
if not exist state\trial.txt goto ended_elsewhere
call :verdict reverted %to%
call :end_trial
echo Back to: %to%. "wslk status" tells more.
exit /b 1

:not_restored
echo .wslconfig could not be replaced. Close the programs that have it open, and run "rollback.cmd stock".
exit /b 2

:no_trial
echo Nothing to try: state\trial.txt waits for no trial "%~1".
exit /b 2

:ended_elsewhere
echo The trial was ended by somebody else.
reg delete "%runonce%" /v "!wslk" /f >nul 2>&1
exit /b 3

rem ---- steps

rem Sets restored: what is in place now, nothing if nothing could be put there.
:restore
set "restored="
del /q state\restored.txt >nul 2>&1
call .\rollback.cmd --restore %~1
if exist state\restored.txt for /f "usebackq" %%r in ("state\restored.txt") do set "restored=%%r"
exit /b 0

rem Starts the distribution. Sets failed, and writes the reason of the first failure.
:boot
set "failed="
set "first=1"
if exist state\reason.txt set "first="
del /q state\boot-%~1.* >nul 2>&1
start "" /b cmd /d /c .\trial.cmd --run boot-%~1 >nul 2>&1 <nul
call :await boot-%~1 %deadline%
if not exist state\boot-%~1.rc goto boot_hangs
set "code="
for /f "usebackq" %%c in ("state\boot-%~1.rc") do set "code=%%c"
if "%code%"=="0" exit /b 0
set "failed=1"
if not defined first exit /b 0
rem The last line of what WSL says names the error, in every language.
>state\reason.txt echo wsl ended with %code%, all its words are in console\%number%.wsl.txt
for /f "usebackq delims=" %%l in ("state\boot-%~1.out") do >state\reason.txt echo wsl ended with %code%, all its words are in console\%number%.wsl.txt: %%l
exit /b 0

:boot_hangs
set "failed=1"
if defined first >state\reason.txt echo no answer within %deadline% s
exit /b 0

:judge_release
set "match="
for /f "usebackq delims=" %%l in ("state\boot-new.out") do if "%%l"=="%release%" set "match=1"
if defined match exit /b 0
set "failed=1"
>state\reason.txt echo no kernel release was printed
for /f "usebackq delims=" %%l in ("state\boot-new.out") do >state\reason.txt echo another kernel runs: %%l
exit /b 0

rem 0 is passed, 9 is failed. Anything else says that the check itself could not be run, which is no reason to
rem go back, unless the kernel is what died of it: so look once more.
:check
set "failed="
set "code="
if not defined has_check exit /b 0
del /q state\check.* >nul 2>&1
start "" /b cmd /d /c .\trial.cmd --run check >nul 2>&1 <nul
call :await check 600
if not exist state\check.rc goto check_hangs
for /f "usebackq" %%c in ("state\check.rc") do set "code=%%c"
if "%code%"=="0" exit /b 0
if "%code%"=="9" goto check_failed
set "check_code=%code%"
call :boot again
if defined failed exit /b 0
>state\reason.txt echo the check could not be run: it ended with %check_code%
exit /b 0

:check_failed
set "failed=1"
>state\reason.txt echo the check failed
for /f "usebackq delims=" %%l in ("state\check.out") do >state\reason.txt echo the check failed: %%l
exit /b 0

:check_hangs
set "failed=1"
>state\reason.txt echo the check did not end
exit /b 0

rem Waits for state\NAME.rc, so many seconds. If rollback.cmd was used meanwhile there is nothing to wait for.
:await
set "waited=0"
:await_more
if exist "state\%~1.rc" exit /b 0
if not exist state\trial.txt exit /b 0
if %waited% geq %~2 exit /b 0
set /a waited+=1
ping -n %WSLK_TICK% 127.0.0.1 >nul 2>&1
if not "%errorlevel%"=="0" waitfor /t 1 wslkNeverSent >nul 2>&1
goto await_more

rem In the background. Its files are its own: one that hangs may end long after, and must not answer for the next.
:run
set "on="
if defined distro set on=-d "%distro%"
if "%~2"=="check" goto run_check
%wsl% %on% -e uname -r >"state\%~2.out" 2>"state\%~2.err"
>"state\%~2.new" echo %errorlevel%
move /y "state\%~2.new" "state\%~2.rc" >nul
exit /b 0

:run_check
for /f "usebackq tokens=1,* delims==" %%a in ("state\trial.txt") do if "%%a"=="check" %wsl% %on% -u root -- %%b >state\check.out 2>state\check.err & call :note_check
exit /b 0

rem A subroutine, since a line is expanded before any of it runs.
:note_check
>state\check.new echo %errorlevel%
move /y state\check.new state\check.rc >nul
exit /b 0

rem ---- the small files

:read
for %%v in (number phase release distro deadline has_check) do set "%%v="
if not exist state\trial.txt exit /b 0
for /f "usebackq tokens=1,* delims==" %%a in ("state\trial.txt") do (
    if "%%a"=="number" set "number=%%b"
    if "%%a"=="phase" set "phase=%%b"
    if "%%a"=="release" set "release=%%b"
    if "%%a"=="distro" set "distro=%%b"
    if "%%a"=="deadline" set "deadline=%%b"
    if "%%a"=="check" set "has_check=%%b"
)
rem A quote in a damaged file would unhinge every line that it is used in.
if defined number set "number=%number:"=%"
if defined phase set "phase=%phase:"=%"
if defined release set "release=%release:"=%"
if defined distro set "distro=%distro:"=%"
if defined deadline set "deadline=%deadline:"=%"
if defined number for /f "delims=0123456789" %%x in ("%number%") do set "number="
if defined deadline for /f "delims=0123456789" %%x in ("%deadline%") do set "deadline="
if not defined deadline set "deadline=120"
exit /b 0

:set_running
del /q state\trial.new >nul 2>&1
for /f "usebackq tokens=1,* delims==" %%a in ("state\trial.txt") do if not "%%a"=="phase" >>state\trial.new echo %%a=%%b
>>state\trial.new echo phase=running
move /y state\trial.new state\trial.txt >nul
exit /b 0

rem What WSL said of the new kernel, in whatever encoding: kept beside the kernel's own console.
:keep_words
copy /b /y state\boot-new.out+state\boot-new.err "console\%number%.wsl.txt" >nul 2>&1
call :newest_panic
if not defined panic exit /b 0
if "%panic%"=="%old_panic%" exit /b 0
copy /b /y "%TEMP%\wsl-crashes\%panic%" "console\%number%.panic.txt" >nul 2>&1
exit /b 0

rem Where WSL writes the last words of a kernel that panicked, unless crashDumpFolder says otherwise.
:newest_panic
set "panic="
for /f "delims=" %%p in ('dir /b /o:d "%TEMP%\wsl-crashes\kernel-panic-*.txt" 2^>nul') do set "panic=%%p"
exit /b 0

:verdict
>state\verdict.new echo number=%number%
>>state\verdict.new echo verdict=%~1
>>state\verdict.new echo to=%~2
if not exist state\reason.txt >>state\verdict.new echo reason=
if exist state\reason.txt for /f "usebackq delims=" %%r in ("state\reason.txt") do >>state\verdict.new echo reason=%%r
if exist "console\%number%.panic.txt" for %%g in ("console\%number%.panic.txt") do >>state\verdict.new echo panic=%%~fg
if not exist "console\%number%.log" >>state\verdict.new echo console=
if exist "console\%number%.log" for %%g in ("console\%number%.log") do >>state\verdict.new echo console=%%~fg
if exist state\saved.txt for /f "usebackq delims=" %%s in ("state\saved.txt") do >>state\verdict.new echo saved=%%s
>>state\verdict.new echo time=%date% %time%
move /y state\verdict.new state\verdict.txt >nul
exit /b 0

:end_trial
del /q state\trial.txt >nul 2>&1
reg delete "%runonce%" /v "!wslk" /f >nul 2>&1
exit /b 0
